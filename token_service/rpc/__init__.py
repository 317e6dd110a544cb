"""The gRPC edge: server, interceptors and servicers."""
