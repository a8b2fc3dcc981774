"""Which operations each delegate takes."""
