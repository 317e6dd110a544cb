"""Commands that call the service, a module for each group."""
