"""Pairings on real servers."""
