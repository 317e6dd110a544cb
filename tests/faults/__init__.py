"""Tests that kill, pause and cut off what the service depends on."""
