"""Encrypted connections: the server's certificate is checked as the address says."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.certificates import issue
from tests.support.silent import silent
from tests.support.tls_front import TlsFront
from token_service.adapters.postgres.connecting import Source
from token_service.adapters.postgres.migrate import migrate
from token_service.app.database import open_database
from token_service.app.errors import StartupError


async def test_a_server_is_believed_by_its_certificate_alone(dsn: str, tmp_path: Path) -> None:
    authority, other = issue("authority"), issue("other")
    roots = {}
    for name, root in (("right", authority), ("wrong", other)):
        roots[name] = tmp_path / f"{name}.pem"
        roots[name].write_bytes(root.certificate)
    parts = urlsplit(dsn)
    folder, port = (parse_qs(parts.query).get(name, ["5432"])[0] for name in ("host", "port"))
    socket = Path(folder) / f".s.PGSQL.{port}"
    async with TlsFront(socket, issue("server", authority), tmp_path) as front:
        with silent() as mute:
            login = parts.netloc.rpartition("@")[0]

            async def reach(root: str, hosts: str) -> None:
                query = f"sslmode=verify-full&sslrootcert={roots[root]}"
                source = Source(text=f"postgresql://{login}@{hosts}{parts.path}?{query}")
                database = await open_database(source, "test", size=1, call_timeout=10.0)
                try:
                    await asyncio.to_thread(migrate, database.address)
                finally:
                    await database.close()

            await reach("right", f"{mute.address},{front.address}")
            with pytest.raises(StartupError, match="certificate is not accepted: unable to get"):
                await reach("wrong", front.address)


async def _refuses_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"N")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:1/tokens", "no server listens there"),
        ("no-such-host.invalid/tokens", "the server's name is not found"),
        ("/tokens?host=/no/such/folder", "there is no such socket"),
        ("{plain}/tokens?sslmode=require", "the server offers no TLS, which sslmode demands"),
    ],
)
async def test_why_nobody_answers_is_told(address: str, why: str) -> None:
    async with await asyncio.start_server(_refuses_tls, "127.0.0.1", 0) as plain:
        host, port = plain.sockets[0].getsockname()
        dsn = f"postgresql://user:canary@{address.format(plain=f'{host}:{port}')}"
        with pytest.raises(StartupError) as caught:
            await open_database(Source(text=dsn), "test", size=1, call_timeout=10.0)
    told = f"TOKEN_SERVICE_POSTGRES_DSN: PostgreSQL does not answer: {why}"
    assert str(caught.value) == told
