"""Key material, tokens, secrets, passwords, and the life of keys."""
