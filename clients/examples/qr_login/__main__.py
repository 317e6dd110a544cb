"""``make demo``: serve the example in front of a development server that runs already."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from pathlib import Path

import uvicorn

from .app import create_app
from .backend import Credentials

PORT = 8080


def main() -> int:
    """Serve until Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--port",
        type=int,
        choices=range(1, 65536),
        metavar="PORT",
        default=PORT,
        help="where to serve; %(default)s",
    )
    arguments = parser.parse_args()
    folder = Path(os.environ.get("TOKEN_SERVICE_DATA_DIR") or "var/dev")
    path = folder / "credentials.json"
    try:
        credentials = Credentials.read(path)
        user = json.loads(path.read_bytes())["user"]
    except FileNotFoundError:
        sys.stderr.write(f"{path} is missing: start the token service with `make run` first\n")
        return 2
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", arguments.port)) == 0:
            sys.stderr.write(f"port {arguments.port} is taken: make demo ARGS='--port 8081'\n")
            return 2
    origin = f"http://localhost:{arguments.port}"
    password = user["password"] if sys.stdout.isatty() else f"as in {path}"
    sys.stdout.write(
        f"\nPlay the PC:     {origin}/pc\n"
        f"Play the phone:  {origin}/phone   (in another browser or a private window)\n"
        f"Sign in as:      {user['username']}, password {password}\n\nCtrl-C stops it.\n\n"
    )
    sys.stdout.flush()
    uvicorn.run(
        create_app(credentials, origin),
        host="localhost",
        port=arguments.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        # Pages that follow a pairing never end by themselves.
        timeout_graceful_shutdown=1,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
