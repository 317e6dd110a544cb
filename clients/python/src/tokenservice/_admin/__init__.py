"""Administering clients, users and keys."""
