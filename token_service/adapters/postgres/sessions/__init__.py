"""The table of sessions, and the statements that move them."""
