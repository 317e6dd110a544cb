"""Connections: how many, from where, and under which certificate."""
