"""Implementations of the domain's ports: stores, cryptography, the clock."""
