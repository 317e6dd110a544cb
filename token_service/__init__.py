"""The token service: issues, exchanges, validates and revokes tokens over gRPC."""
