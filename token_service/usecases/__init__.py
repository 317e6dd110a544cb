"""One use case per module, on top of the ports of the domain."""
