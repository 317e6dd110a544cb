"""Commands to paste that call a running development server.

None puts a secret into the arguments of a program, where every user of the machine could read it:
headers come from the environment or from stdin, bodies from stdin.
"""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from token_service.cli import variables
from token_service.cli.calling.demo_file import DEFAULT_DATA_DIR, FILE_NAME

_METHOD = "tokenservice.v1.TokenService/Issue"


@dataclass(frozen=True, slots=True)
class Snippet:
    """Something to paste into a shell."""

    title: str
    text: str


def snippets(address: str, folder: Path) -> tuple[Snippet, ...]:
    """Return what to try on the server at `address`, whose data are in `folder`."""
    programs = Path(sys.executable).parent
    service = _spelled(programs / "token-service")
    if folder.resolve() != DEFAULT_DATA_DIR.resolve():
        service = f"{variables.DATA_DIR}={_spelled(folder)} {service}"
    return (
        Snippet("Log alice in, and ask as a gateway whether her token is good", _own(service)),
        Snippet("The same login from Python", _python(_spelled(Path(sys.executable)), folder)),
        Snippet("The same with grpcurl", _grpcurl(service, address)),
        Snippet("The same with buf", _buf(service, _spelled(programs / "buf"), address)),
    )


def _own(service: str) -> str:
    return (
        f"{service} token issue --user alice --only access --audience orders |\n"
        f"  {service} token validate --audience orders"
    )


def _python(python: str, folder: Path) -> str:
    return f"""\
{python} - <<'EOF'
import json
from tokenservice import ClientSecret, Platform, SyncConnection, SyncTokenClient

demo = json.load(open({str(folder / FILE_NAME)!r}))
user, caller = demo["user"], ClientSecret(**demo["clients"]["demo-web"])
with SyncConnection(demo["grpc"], caller) as connection:
    client = SyncTokenClient(connection)
    tokens = client.login_with_password(**user, platform=Platform.WEB)
    print(tokens)  # shows no token; tokens.session_token is one
EOF"""


def _grpcurl(service: str, address: str) -> str:
    return f"""\
export AUTHORIZATION="$({service} credentials header --as demo-web)"
grpcurl -plaintext -expand-headers -H 'authorization: ${{AUTHORIZATION}}' -d @ \\
  {address} {_METHOD} <<EOF
{_body(service)}
EOF"""


def _buf(service: str, buf: str, address: str) -> str:
    return f"""\
{buf} curl --protocol grpc --http2-prior-knowledge -H @- -d @- \\
  http://{address}/{_METHOD} <<EOF
authorization: $({service} credentials header --as demo-web)

{_body(service)}
EOF"""


def _body(service: str) -> str:
    user = f'{{"username": "alice", "password": "$({service} credentials password)"}}'
    return f'{{"platform": "PLATFORM_WEB", "password": {user}}}'


def _spelled(path: Path) -> str:
    """Return the path as one types it here: relative where that is shorter, quoted if need be."""
    text = os.path.relpath(path)
    return shlex.quote(str(path) if text.startswith("..") else text)
