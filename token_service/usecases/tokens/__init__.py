"""Tokens: made for a session, and validated."""
