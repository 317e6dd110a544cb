"""The trust log, what follows it, and what a revocation writes."""
