"""Keys: kept on their schedule, replaced, and declared compromised."""
