"""Sessions: exchanged, listed and signed out."""
