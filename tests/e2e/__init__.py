"""Tests of the whole: command line, server, SDK, gateway."""
