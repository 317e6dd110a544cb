"""What a development server says once it serves."""

from pathlib import Path

from token_service.cli.calling.demo_file import DemoFile
from token_service.cli.local.snippets import snippets

_RULE = "-" * 72


def banner(demo: DemoFile, path: Path, *, secrets_too: bool) -> str:
    """Return the text: where the server is, who may call it, what to paste.

    `secrets_too` shows the credentials: on a terminal, never where the output is kept as a log.
    """
    lines = [
        "",
        _RULE,
        f"The token service is serving on {demo.grpc}; Ctrl-C stops it.",
        f"Credentials are in {path} (mode 0600):",
        f"  user {demo.user.username}" + (f"  {demo.user.password}" if secrets_too else ""),
    ]
    lines += [
        f"  {name:<14}{client.client_secret if secrets_too else ''}".rstrip()
        for name, client in demo.clients.items()
    ]
    for snippet in snippets(demo.grpc, path.parent):
        lines += ["", f"# {snippet.title}", snippet.text]
    return "\n".join([*lines, _RULE, ""])
