"""A program's own token on its outgoing calls."""
