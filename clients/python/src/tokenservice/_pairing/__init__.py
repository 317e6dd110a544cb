"""Pairings by QR code."""
