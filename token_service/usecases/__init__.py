"""One use case per module: read, decide (in `domain`), write. No transport, no driver."""
