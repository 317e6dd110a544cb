"""The `token-service` program."""

from token_service.cli import (
    clients,
    credentials,
    keys,
    server,
    sessions,
    store,
    tokens,
    trust,
    users,
)
from token_service.cli.command import group, local_command
from token_service.cli.doctor.command import doctor

app = group("Issue, exchange, validate and revoke tokens.")
local_command(app, "serve")(server.serve_command)
local_command(app, "dev")(server.dev_command)
local_command(app, "migrate")(server.migrate_command)
local_command(app, "doctor")(doctor)
local_command(app, "restore-fence")(store.restore_fence_command)
local_command(clients.app, "bootstrap")(store.bootstrap_command)
app.add_typer(clients.app, name="client")
app.add_typer(users.app, name="user")
app.add_typer(keys.app, name="keys")
app.add_typer(sessions.app, name="session")
app.add_typer(tokens.app, name="token")
app.add_typer(trust.app, name="trust")
app.add_typer(credentials.app, name="credentials")
