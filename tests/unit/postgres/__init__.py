"""Parts of the PostgreSQL adapter that need no server."""
