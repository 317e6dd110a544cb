"""Reaching the servers: channels, TLS, credentials, calls and their retries."""
