"""Revocation, and this node's copy of the trust log."""
