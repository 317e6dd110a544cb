"""The same API with Flask on a WSGI server with threads."""

import os
from datetime import timedelta

import waitress.server  # type: ignore[import-untyped]  # waitress has no types
from flask import Flask, request

from tokenservice import Route, SyncConnection, SyncValidator
from tokenservice.middleware.wsgi import TokenMiddleware

app = Flask(__name__)


@app.route("/orders", methods=["GET", "POST"])
def orders() -> dict[str, str]:
    """Say who is calling."""
    return {"caller": request.environ["tokenservice.principal"].subject}


ROUTES = {
    "GET /orders": Route(scopes=["orders.read"]),
    "POST /orders": Route(scopes=["orders.write"], max_auth_age=timedelta(hours=1)),
}

if __name__ == "__main__":
    # Servers that fork their workers start the validator in the worker.
    with SyncConnection.from_env() as connection, SyncValidator(connection) as validator:
        guarded = TokenMiddleware(app, validator=validator, audience="orders", routes=ROUTES)
        port = int(os.environ.get("PORT", "8000"))
        server = waitress.server.create_server(guarded, host="127.0.0.1", port=port)
        print(f"Serving on http://127.0.0.1:{server.effective_port}", flush=True)
        server.run()
