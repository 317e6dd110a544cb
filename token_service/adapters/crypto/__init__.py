"""Keys, tokens, secrets and passwords: everything that touches key material."""
