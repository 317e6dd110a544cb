"""The tables of one-time codes."""
