"""Tests of the token service."""
