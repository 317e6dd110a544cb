"""Pairings: the steps that are allowed, and the codes that screens show."""
