"""The tables of clients and their secrets."""
