"""The command line over TLS, with the caller known by its secret or by its certificate."""

import base64
import json
from pathlib import Path

import pytest

from tests.support.certificates import Issued, issue
from tests.support.command_line import CommandLine
from tests.support.fixtures import StartServer
from tests.support.world import World


@pytest.fixture
def authority(tmp_path: Path) -> Issued:
    """An authority, with a server's files and a client's in the test's folder."""
    authority = issue("authority")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    write(issue("server", authority), tmp_path / "server")
    return authority


def write(issued: Issued, stem: Path) -> None:
    stem.with_suffix(".pem").write_bytes(issued.certificate)
    key = stem.with_suffix(".key")
    key.write_bytes(issued.key)
    key.chmod(0o600)


def tls_settings(folder: Path) -> dict[str, str]:
    return {"tls_cert": str(folder / "server.pem"), "tls_key": str(folder / "server.key")}


@pytest.mark.usefixtures("authority")
def test_the_authority_is_named_and_no_other_is_believed(
    world: World, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(**tls_settings(tmp_path))
    caller = CommandLine(tmp_path / "none").with_variables(
        server=server.address, client_id="demo-admin", client_secret=world.clients["demo-admin"]
    )
    trusting = caller.with_variables(ca_file=str(tmp_path / "ca.pem"))
    assert trusting.json("client", "show")["client_id"] == "demo-admin"
    nowhere = {**trusting.variables, "grpc_proxy": "http://127.0.0.1:1", "no_proxy": ""}
    proxied = CommandLine(trusting.folder, nowhere)  # takes nothing meant for this machine
    assert proxied.json("client", "show")["client_id"] == "demo-admin"
    unencrypted = caller.run("client", "show")
    assert unencrypted.code == 1
    assert f"called {server.address} without TLS; --ca FILE" in unencrypted.err
    other = tmp_path / "other.pem"
    other.write_bytes(issue("somebody else").certificate)
    stranger = caller.run("client", "show", "--ca", str(other))
    assert stranger.code == 1
    assert f"with TLS; trusts the authorities in {other} " in stranger.err
    assert caller.run("client", "show", "--ca", str(tmp_path / "missing.pem")).code == 2
    server.terminate()
    assert all(json.loads(line)["event"] for line in server.output)  # none of gRPC's own lines


def test_a_certificate_that_the_policy_lists_takes_the_secrets_place(
    world: World, start_server: StartServer, tmp_path: Path, authority: Issued
) -> None:
    own = issue("demo-api", authority)
    write(own, tmp_path / "own")
    server = start_server(**tls_settings(tmp_path), tls_client_ca=str(tmp_path / "ca.pem"))
    files = {
        "server": server.address,
        "ca_file": str(tmp_path / "ca.pem"),
        "certificate_file": str(tmp_path / "own.pem"),
        "key_file": str(tmp_path / "own.key"),
    }
    caller = CommandLine(tmp_path / "none").with_variables(**files, client_id="demo-api")
    assert caller.refused("client", "show") == "CALLER_UNAUTHENTICATED"

    admin = caller.with_variables(client_id="demo-admin", client_secret=world.clients["demo-admin"])
    policy = json.loads(admin.ok("client", "policy", "demo-api"))
    policy["certificate_thumbprints"] = [_base64(bytes.fromhex(own.thumbprint))]
    admin.ok("client", "policy", "demo-api", "--set", "-", stdin=json.dumps(policy))
    assert caller.json("client", "show")["client_id"] == "demo-api"
    assert caller.run("credentials", "header").code == 2
    assert caller.with_variables(key_file="").run("client", "show").code == 2


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
