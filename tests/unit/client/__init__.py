"""The client package, without a network."""
