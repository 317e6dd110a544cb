"""Decisions about tokens that this process can make by itself."""
