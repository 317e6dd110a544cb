"""Revocations, and readings of the trust log."""
