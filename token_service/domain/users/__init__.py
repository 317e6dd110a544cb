"""Users of our own store."""
