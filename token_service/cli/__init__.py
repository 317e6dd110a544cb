"""Commands of the token-service program."""
