"""Where programs of one's own network ask in plain HTTP: metrics and probes."""
