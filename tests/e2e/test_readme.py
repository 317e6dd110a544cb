"""The README's promises: a clean clone starts with one command, and its tour goes as shown."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.e2e.checkout import GIT, MAKE, Checkout
from tests.support.documents import (
    CODES,
    GATEWAYS,
    GRPCURL,
    PAIRING,
    QR_README,
    README,
    SETTINGS,
    between,
    blocks,
    outline,
    shows,
)
from tests.support.processes import wait_until_gone
from tests.support.servers import ROOT
from token_service.config import settings_table

TOUR = ("tour", "tour fails", "tour python")


@pytest.fixture(scope="module")
def checkout() -> Iterator[Checkout]:
    """A clone that PostgreSQL can reach as the user `nobody`, with `make run` in it."""
    folder = Path(tempfile.mkdtemp(prefix="token-service-clone-"))
    folder.chmod(0o711)
    clone = Checkout(folder / "token-service")
    try:
        clone.make_run()
        yield clone
    finally:
        clone.close()
        shutil.rmtree(folder)


def test_the_tour_of_a_clean_clone(checkout: Checkout) -> None:
    tour = [
        block
        for document in (README, GATEWAYS, CODES)
        for block in blocks(document, *TOUR, root=checkout.folder)
    ]
    assert len(tour) >= 10
    for block in tour:
        printed = checkout.play(block, fails=block.mark == "tour fails")
        if block.shown:
            assert shows(block.shown, printed), (block.place, printed)


@pytest.mark.skipif(GRPCURL is None, reason="grpcurl is not installed (see .ci/run)")
def test_grpcurl(checkout: Checkout) -> None:
    programs = checkout.folder / "build" / "programs"
    programs.mkdir(parents=True)
    (programs / "grpcurl").symlink_to(str(GRPCURL))
    [block] = blocks(GATEWAYS, "grpcurl", root=checkout.folder)
    printed = checkout.play(block, programs=str(programs))
    assert "tokenservice.v1.TokenService\n" in printed
    assert "tokenservice.v1.TokenService.Validate is a method" in printed
    assert "// Checks a token that accompanies a call." in printed, "the comments of the protos"
    assert '"verdict": "VERDICT_ACTIVE"' in printed


def play_make_run(checkout: Checkout) -> None:
    """That is where all of this runs."""
    assert checkout.address


def play_make_test(checkout: Checkout) -> None:
    """It would run this very test: what it would do exists."""
    planned = subprocess.run(
        [MAKE, "--dry-run", "test"], cwd=checkout.folder, capture_output=True, text=True, check=True
    )
    assert "-m pytest" in planned.stdout


def play_make_demo(checkout: Checkout) -> None:
    """On a free port, as its document says for a port that is taken."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    with checkout.terminal(f"make demo ARGS='--port {port}'") as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "Ctrl-C" in line:
                break
        assert until_answered(f"http://localhost:{port}/pc") == 200


def play_pair(checkout: Checkout) -> None:
    """Both ends in two terminals; the person reads and types."""
    with (
        checkout.terminal("token-service pair demo") as pc,
        checkout.terminal("token-service pair phone") as phone,
    ):
        assert pc.stdout is not None
        assert phone.stdin is not None
        phone.stdin.write(next(line for line in pc.stdout if "pair/" in line))
        phone.stdin.flush()
        number = next(line for line in pc.stdout if line.startswith("check number"))
        phone.stdin.write(number.split()[2].strip(":") + "\n")
        phone.stdin.flush()
        assert "collected the web_session" in pc.stdout.read()
        assert pc.wait(60) == phone.wait(60) == 0


TERMINALS: Mapping[str, Callable[[Checkout], None]] = {
    "make run": play_make_run,
    "make test": play_make_test,
    "make demo": play_make_demo,
    "token-service pair demo": play_pair,
    "token-service pair phone": play_pair,
}


def commands_for_terminals() -> set[str]:
    """Each line of the blocks whose commands go on: one for each terminal."""
    return {
        line.partition("#")[0].strip()
        for document in (README, PAIRING, QR_README)
        for block in blocks(document, "terminals")
        for line in block.code.splitlines()
    }


def test_what_goes_on_in_terminals_of_its_own(checkout: Checkout) -> None:
    assert commands_for_terminals() == set(TERMINALS)
    for play in dict.fromkeys(TERMINALS.values()):
        play(checkout)


def test_ctrl_c_leaves_nothing_behind(checkout: Checkout) -> None:
    """The last one: the clone's service is gone afterwards."""
    family = checkout.interrupt()
    assert len(family) > 3
    wait_until_gone(family)
    status = subprocess.run(
        [GIT, "status", "--porcelain"],
        cwd=checkout.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout == ""


def until_answered(url: str) -> int:
    """The status of a page that is about to be served."""
    for _ in range(600):
        with suppress(httpx.TransportError):
            return httpx.get(url, follow_redirects=True).status_code
        time.sleep(0.05)
    raise AssertionError(f"{url} is not served")


def test_an_outline_tells_other_verdicts_reasons_and_keys_apart() -> None:
    assert outline("verdict  active\n") != outline("verdict  revoked\n")
    assert outline("TOKEN_REUSED: gone\n") != outline("TOKEN_REVOKED: gone\n")
    assert outline("revision  0\n") == outline("revision  297\n")
    printed = "verdict  active\na  1\nb  2\nc  3\n"
    assert shows("verdict  active\n…\nc  9\n", printed)
    assert not shows("verdict  active\nc  9\n", printed)
    assert not shows("verdict  revoked\n…\n", printed)


def test_the_settings_that_are_documented_are_those_of_the_program() -> None:
    document = (ROOT / SETTINGS).read_text()
    assert between(document, "settings").strip() == settings_table().strip()
