"""The `token-service` program."""

from token_service.cli import (
    clients,
    codes,
    credentials,
    keys,
    operations,
    pairs,
    sessions,
    tokens,
    trust,
    users,
)
from token_service.cli.command import group

app = group("Issue, exchange, validate and revoke tokens.")
operations.add_to(app, clients.app)
app.add_typer(clients.app, name="client")
app.add_typer(users.app, name="user")
app.add_typer(keys.app, name="keys")
app.add_typer(sessions.app, name="session")
app.add_typer(tokens.app, name="token")
app.add_typer(codes.app, name="code")
app.add_typer(pairs.app, name="pair")
app.add_typer(trust.app, name="trust")
app.add_typer(credentials.app, name="credentials")
