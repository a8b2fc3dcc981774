"""What stands behind a backbone or a neck and gives the raw answers."""
