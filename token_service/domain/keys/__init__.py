"""Keys: their records, and when they are made, sign and stop."""
