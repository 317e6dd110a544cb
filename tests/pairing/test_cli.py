"""Both ends of a pairing on the command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.callers import Callers
from tests.support.command_line import CommandLine
from tests.support.devices import other_number
from tests.support.servers import ROOT
from tests.support.waiting import PATIENCE
from tests.support.world import World
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoClient, DemoFile, DemoUser
from token_service.cli.commands.pairing import lines_of
from tokenservice import Device, PairingEndReason, PairingState, PairingStatus, Peer, ShownCode

LATER = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture
def cli(shared_world: World, nodes: tuple[Callers, Callers], tmp_path: Path) -> CommandLine:
    """The command line beside the `credentials.json` of a server with Redis."""
    world = shared_world
    clients = {name: DemoClient(name, secret) for name, secret in world.clients.items()}
    user = DemoUser(world.username, world.password)
    file = DemoFile(grpc=nodes[0].address, postgres=world.dsn, redis="", clients=clients, user=user)
    demo_file.write(tmp_path, file)
    return CommandLine(tmp_path)


@contextmanager
def running(cli: CommandLine, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A command with pipes to it, ended at the latest with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "token_service", "pair", *arguments],
        cwd=ROOT,
        env=cli.process_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def told(process: "subprocess.Popen[str]") -> Any:
    """The next message."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def type_in(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def test_the_phone_lets_the_pc_in_and_the_pc_the_phone(cli: CommandLine) -> None:
    with running(cli, "demo", "--json") as pc, running(cli, "phone") as phone:
        type_in(phone, told(pc)["qr_uri"])
        scanned = told(pc)
        assert scanned["peer"]["name"] == "Demo phone"
        type_in(phone, scanned["check_number"])
        assert told(pc)["state"] == "PAIRING_STATE_APPROVED"
        assert told(pc)["state"] == "PAIRING_STATE_COMPLETED"
        assert pc.wait(PATIENCE) == phone.wait(PATIENCE) == 0
        assert pc.stderr is not None
        assert "collected the web_session" in pc.stderr.read()
    with (
        running(cli, "demo", "--direction", "pam", "--json") as pc,
        running(cli, "phone", "--json") as phone,
    ):
        type_in(phone, told(pc)["code"])
        type_in(pc, told(phone)["check_number"])
        assert pc.wait(PATIENCE) == phone.wait(PATIENCE) == 0
        assert phone.stderr is not None
        assert "collected the mobile_session" in phone.stderr.read()


@pytest.mark.parametrize("direction", ["map", "pam"])
def test_a_mistyped_number_may_be_typed_again_once(cli: CommandLine, direction: str) -> None:
    with (
        running(cli, "demo", "--direction", direction, "--json") as pc,
        running(cli, "phone", "--json") as phone,
    ):
        approving, shown_by = (phone, pc) if direction == "map" else (pc, phone)
        type_in(phone, told(pc)["code"])
        number = told(shown_by)["check_number"]
        type_in(approving, other_number(number))
        type_in(approving, number)
        assert pc.wait(PATIENCE) == phone.wait(PATIENCE) == 0
        assert approving.stderr is not None
        assert "CHECK_NUMBER_WRONG" in approving.stderr.read()


def test_the_second_wrong_number_ends_the_pairing(cli: CommandLine) -> None:
    with running(cli, "demo", "--json") as pc, running(cli, "phone") as phone:
        type_in(phone, told(pc)["code"])
        wrong = other_number(told(pc)["check_number"])
        type_in(phone, wrong)
        type_in(phone, wrong)
        assert phone.wait(PATIENCE) == pc.wait(PATIENCE) == 1
        ended = told(pc)
        assert ended["state"] == "PAIRING_STATE_CANCELLED"
        assert ended["end_reason"] == "PAIRING_END_REASON_CHECK_NUMBER"


def test_people_see_a_code_that_they_can_scan_and_read() -> None:
    uri = "tokenservice:pair/map/ABCDEF-GHJKMN-PQRSTV"
    shown = lines_of(PairingStatus(state=PairingState.PENDING, shown=ShownCode("x", uri, LATER)))
    assert shown[0] == "pending"
    assert shown[-1] == uri
    assert len({len(line) for line in shown[1:-1]}) == 1
    assert set("".join(shown[1:-1])) == set("█▀▄ ")


def test_people_see_who_ended_it() -> None:
    status = PairingStatus(state=PairingState.DENIED, end_reason=PairingEndReason.SCANNER)
    assert lines_of(status) == ["denied: scanner"]


def test_people_see_the_other_device_and_the_number() -> None:
    phone = Peer(Device(name="A phone", ip_address="192.0.2.1"), LATER, same_network=False)
    status = PairingStatus(state=PairingState.SCANNED, peer=phone, check_number="07")
    assert lines_of(status) == [
        "scanned",
        "the other device: A phone, 192.0.2.1; not known to be on this network",
        "check number 07: type it on the other device",
    ]
