"""What goes out: answers, when two agree, and how they are recorded, drawn and measured."""
