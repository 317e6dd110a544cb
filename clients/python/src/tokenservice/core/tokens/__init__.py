"""Tokens as text: their grammar, and the claims that they carry."""
