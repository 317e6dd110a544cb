"""Obtaining, exchanging, storing and ending sessions."""
