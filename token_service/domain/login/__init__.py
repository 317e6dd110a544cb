"""Login: user names and passwords as they are compared."""
