"""Tests of one adapter against its real counterpart."""
