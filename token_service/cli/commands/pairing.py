"""`token-service pair`: both ends of a pairing, to see how one goes."""

import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.calling.api import DEMO_MOBILE, DEMO_WEB, Api
from token_service.cli.command import api_command, group
from token_service.cli.commands.tokens import password_of
from token_service.cli.problems import REFUSED, CliError, refusal_of, show_refusal
from token_service.cli.values import as_json, text_of
from tokenservice import (
    Device,
    PairingDirection,
    PairingKey,
    PairingState,
    PairingStatus,
    Peer,
    Platform,
    Reason,
    ScannedPairing,
)

app = group("Let one device log another one in by a QR code.")

User = Annotated[str, typer.Option(help="Whose device the logged-in one is.")]

_PC = Device(device_id="demo-pc", name="Demo PC", user_agent="token-service pair demo")
_PHONE = Device(device_id="demo-phone", name="Demo phone", user_agent="pair phone")


class DirectionWord(StrEnum):
    """Which device lets the other one in."""

    MAP = "map"
    PAM = "pam"


@api_command(app, "demo", caller=DEMO_WEB)
def demo(
    api: Api,
    direction: Annotated[
        DirectionWord,
        typer.Option(help="map: a phone lets this PC in. pam: this PC lets a phone in."),
    ] = DirectionWord.MAP,
    user: User = "alice",
    for_client: Annotated[
        str, typer.Option(help="pam: client that the phone's session is for.")
    ] = DEMO_MOBILE,
    password_file: inputs.PasswordSource = None,
) -> None:
    """Be the PC: show a QR code here and follow what becomes of it. `pair phone` scans it."""
    pam = direction is DirectionWord.PAM
    session_token = _log_in(api, user, Platform.WEB, password_file) if pam else ""
    call = api.pairings.start(
        PairingDirection[direction.name],
        device=_PC,
        session_token=session_token,
        client_id=for_client if pam else "",
        timeout=api.timeout,
    )
    key = api.run(call).key

    def act(status: PairingStatus) -> None:
        if pam and status.state is PairingState.SCANNED:
            _approve(api, session_token, key)
        elif not pam and status.state is PairingState.APPROVED:
            _collect(api, key)

    _follow(api, key, act)


@api_command(app, "phone", caller=DEMO_MOBILE)
def phone(api: Api, user: User = "alice", password_file: inputs.PasswordSource = None) -> None:
    """Be the phone: take the code from stdin or a prompt, as a camera would read it."""
    from tokenservice import code_of

    session_token = _log_in(api, user, Platform.MOBILE, password_file)
    code = code_of(_asked("Code"))
    scanned = api.run(
        api.pairings.scan(code, session_token=session_token, device=_PHONE, timeout=api.timeout)
    )
    _show_peer(api, scanned)
    if scanned.direction is PairingDirection.MAP:
        _approve(api, session_token, scanned.key)
        return

    def act(status: PairingStatus) -> None:
        if status.state is PairingState.APPROVED:
            _collect(api, scanned.key)

    _follow(api, scanned.key, act)


def _follow(api: Api, key: PairingKey, act: Callable[[PairingStatus], None]) -> None:
    """Show each state and do what is this side's to do, to the end. Exit code 1 unless the
    pairing is completed."""
    state = PairingState.UNSPECIFIED
    for status in api.each(api.pairings.watch(key)):
        state = status.state
        if api.out.as_json:
            api.out.json(as_json(_flat(status)))
        else:
            for line in lines_of(status):
                api.out.line(line)
        act(status)
    if state is not PairingState.COMPLETED:
        raise typer.Exit(REFUSED)


def _flat(status: PairingStatus) -> dict[str, object]:
    """What scripts read of a state; what is None is left out."""
    shown, peer = status.shown, status.peer
    return {
        "state": status.state,
        "end_reason": status.end_reason,
        "code": shown and shown.code,
        "qr_uri": shown and shown.qr_uri,
        "code_expires_at": shown and shown.expires_at,
        "peer": peer and peer.device,
        "same_network": peer and peer.same_network,
        "check_number": status.check_number,
        "expires_at": status.expires_at,
    }


def lines_of(status: PairingStatus) -> list[str]:
    """Return what people see of a state, the QR code included."""
    lines = [text_of(status.state)]
    if status.end_reason:
        lines[0] += f": {text_of(status.end_reason)}"
    if status.shown is not None:
        lines += [*qr_lines(status.shown.qr_uri), status.shown.qr_uri]
    if status.peer is not None:
        lines.append(_peer_text(status.peer))
    if status.check_number:
        lines.append(f"check number {status.check_number}: type it on the other device")
    return lines


def qr_lines(text: str) -> list[str]:
    """Return a QR code in half blocks, two modules to a character."""
    from tokenservice import qr

    return qr.terminal(text).splitlines()


def _approve(api: Api, session_token: str, key: PairingKey) -> None:
    from tokenservice import TokenServiceError

    try:
        _type_number(api, session_token, key)
    except TokenServiceError as error:
        if error.reason is not Reason.CHECK_NUMBER_WRONG:
            raise
        show_refusal(refusal_of(error), as_json=api.out.as_json)
        api.out.note("it may be typed once more; another wrong one ends the pairing")
        _type_number(api, session_token, key)


def _type_number(api: Api, session_token: str, key: PairingKey) -> None:
    number = _asked("Check number")
    call = api.pairings.approve(
        key, session_token=session_token, check_number=number, timeout=api.timeout
    )
    api.out.note(text_of(api.run(call)))


def _collect(api: Api, key: PairingKey) -> None:
    tokens = api.run(api.pairings.collect(key, timeout=api.timeout))
    api.out.note(f"collected the {text_of(tokens.session_kind)} {tokens.session_id}")


def _log_in(api: Api, user: str, platform: Platform, password_file: str | None) -> str:
    password = password_of(api, user, password_file)
    call = api.tokens.login_with_password(user, password, platform=platform, timeout=api.timeout)
    return api.run(call).session_token


def _show_peer(api: Api, scanned: ScannedPairing) -> None:
    api.out.note(_peer_text(scanned.peer))
    if scanned.check_number:
        api.out.note(f"check number {scanned.check_number}: type it on the other device")


def _peer_text(peer: Peer) -> str:
    device = peer.device
    named = ", ".join(filter(None, (device.name, device.user_agent, device.ip_address)))
    network = "on the same network" if peer.same_network else "not known to be on this network"
    return f"the other device: {named or 'unknown'}; {network}"


def _asked(what: str) -> str:
    """A line of stdin, or of a person."""
    if sys.stdin.isatty():
        answer: str = typer.prompt(what, err=True)
    else:
        answer = sys.stdin.readline()
    if not answer.strip():
        raise CliError(f"no {what.lower()}: give it on stdin")
    return answer.strip()
