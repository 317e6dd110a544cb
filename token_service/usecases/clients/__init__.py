"""Clients: registered, reviewed, given secrets, and recognised when they call."""
