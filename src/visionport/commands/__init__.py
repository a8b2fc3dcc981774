"""The commands, one module each: options, help, a call, and what is printed. `cli.py` lists them."""
