"""Plain tensor functions: no state, no weights but those a Scope hands out, and nothing of any one model."""
