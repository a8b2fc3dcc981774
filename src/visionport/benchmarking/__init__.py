"""What artifacts cost to use: each in a fresh process, loaded, called, weighed."""
