"""The tables of users and roles."""
