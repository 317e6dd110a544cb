"""One servicer per service: map, call the use case, map."""
