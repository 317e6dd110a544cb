"""Commands that run the service, or work on a deployment's stores, on this machine."""
