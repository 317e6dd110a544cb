"""The same for programs without an event loop."""
