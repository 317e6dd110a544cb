"""PostgreSQL and Valkey as child processes, for the dev mode and the tests."""
