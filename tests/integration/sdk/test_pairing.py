"""Pairings and one-time codes through the client package, against real servers."""

import threading
from datetime import timedelta

import pytest

from tests.support.clients import connect, secret_of
from tests.support.fixtures import StartApplication, StartServer
from tests.support.world import World
from tokenservice import (
    BackgroundLoop,
    CodeClient,
    CodeKind,
    Device,
    PairingClient,
    PairingDirection,
    PairingState,
    SyncConnection,
    SyncPairingClient,
    SyncTokenClient,
    TokenClient,
    TokenServiceError,
    code_of,
)
from tokenservice.core import Platform

PC = Device("pc-1", "Alice's PC", "Firefox/140", "198.51.100.7")
PHONE = Device("phone-1", "Alice's phone", "Shop/3.1", "203.0.113.9")


async def test_both_directions(world: World, start_application: StartApplication) -> None:
    server = await start_application()
    async with (
        connect(world, server.address, "demo-web") as web,
        connect(world, server.address, "demo-mobile") as mobile,
    ):
        pc, phone = PairingClient(web), PairingClient(mobile)
        login = await TokenClient(mobile).login_with_password(
            world.username, world.password, platform=Platform.MOBILE
        )
        token = login.session_token
        pairing = await pc.start(PairingDirection.MAP, device=PC, scopes=["orders.read"])
        seen = [await anext(pc.watch(pairing.key))]
        assert seen[0].shown == pairing.shown
        server.clock.advance(timedelta(minutes=1))
        rotated = await pc.get(pairing.key)
        assert rotated.shown is not None
        assert rotated.shown.code != pairing.shown.code
        scan = await phone.scan(code_of(rotated.shown.qr_uri), session_token=token, device=PHONE)
        assert (scan.peer.device, scan.peer.same_network) == (PC, False)
        status = await pc.get(pairing.key)
        assert status.peer is not None
        assert status.peer.device == PHONE
        wrong = f"{(int(status.check_number) + 1) % 100:02}"
        with pytest.raises(TokenServiceError, match="CHECK_NUMBER_WRONG"):
            await phone.approve(scan.key, session_token=token, check_number=wrong)
        approved = await phone.approve(
            scan.key, session_token=token, check_number=status.check_number
        )
        assert approved is PairingState.APPROVED
        tokens = await pc.collect(pairing.key)
        assert not tokens.replayed
        again = await pc.collect(pairing.key)
        assert (again.replayed, again.session_token) == (True, tokens.session_token)
        states = [one.state async for one in pc.watch(pairing.key)]
        assert states == [PairingState.COMPLETED]

        pairing = await pc.start(
            PairingDirection.PAM,
            device=PC,
            session_token=tokens.session_token,
            client_id="demo-mobile",
        )
        scan = await phone.scan(pairing.shown.code, device=PHONE)
        assert await pc.deny(pairing.key) is PairingState.DENIED
        assert [one.state async for one in phone.poll(scan.key)] == [PairingState.DENIED]
        with pytest.raises(TokenServiceError, match="PAIRING_STATE"):
            await phone.cancel(scan.key)


async def test_codes(world: World, start_application: StartApplication) -> None:
    server = await start_application()
    async with connect(world, server.address, "demo-admin") as connection:
        codes = CodeClient(connection)
        issued = await codes.issue(
            purpose="spring",
            kind=CodeKind.COUPON,
            max_uses=2,
            payload=b"20%",
            ttl=timedelta(seconds=3600),
        )
        first = await codes.redeem(purpose="spring", code=issued.code, request_id="r-1")
        again = await codes.redeem(purpose="spring", code=issued.code, request_id="r-1")
        assert (first.payload, first.uses_left, first.replayed) == (b"20%", 1, False)
        assert (again.uses_left, again.replayed) == (1, True)
        assert (await codes.get(issued.code_id)).uses == 1
        assert (await codes.revoke(issued.code_id, note="over")).revoked_at is not None
        with pytest.raises(TokenServiceError, match="CODE_REVOKED"):
            await codes.redeem(purpose="spring", code=issued.code)


def test_threads_and_a_server_that_dies(world: World, start_server: StartServer) -> None:
    """A watch goes on over another server when the first is killed."""
    one, two = start_server(), start_server()
    loop = BackgroundLoop()
    secret = secret_of(world, "demo-web")
    web = SyncConnection([one.address, two.address], secret, loop=loop, channels=1)
    mobile = SyncConnection(two.address, secret_of(world, "demo-mobile"), loop=loop)
    with web, mobile:
        pairings, phone = SyncPairingClient(web), SyncPairingClient(mobile)
        tokens = SyncTokenClient(mobile)
        started = pairings.start(PairingDirection.MAP, device=PC)
        token = tokens.login_with_password(
            world.username, world.password, platform=Platform.MOBILE
        ).session_token
        seen: list[PairingState] = []
        for status in pairings.watch(started.key):
            seen.append(status.state)
            if status.state is PairingState.PENDING:
                one.kill()
                scan = phone.scan(started.shown.code, session_token=token, device=PHONE)
                threading.Thread(target=phone.deny, args=(scan.key,)).start()
        assert seen[0] is PairingState.PENDING
        assert seen[-1] is PairingState.DENIED
        polled = [status.state for status in pairings.poll(started.key)]
        assert polled == [PairingState.DENIED]
    loop.close()
