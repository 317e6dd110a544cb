"""One call from raw bytes to its reply or status."""
