"""Tests over the wire against one server."""
