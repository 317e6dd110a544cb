"""Clients: who they are, what their policy allows, and who may change it."""
