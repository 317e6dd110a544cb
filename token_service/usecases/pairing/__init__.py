"""Pairing: a device that is signed in lets another one in, step by step."""
