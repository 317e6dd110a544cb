"""One-time codes: their text, and what a presented code gets."""
