"""The tables of pairings, and the wake-ups of their watchers."""
