"""Entry point of the program, also as `python -m token_service`."""

import os

# gRPC's core reads this when it is loaded, so it stands before every other import. Without it the
# core reads sockets with threads of its own, which then have to wake the one that polls: a tenth
# of a short call's CPU (grpcio 1.85). What the environment says already is left alone.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

# A server that begins anew starts another one while it serves. Nothing of ours goes on in a forked
# process, so the core need not prepare for that; it could not, and would say so in the log.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# Else the core writes lines of its own among those of our log, one for each TLS handshake that
# fails: as many as somebody without credentials likes.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from token_service.cli.main import app


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
