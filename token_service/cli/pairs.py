"""`token-service pair`: both ends of a pairing, to see how one goes."""

import io
import secrets
import sys
from enum import StrEnum
from typing import Annotated, Any

import grpc
import segno
import typer

from token_service.cli import inputs
from token_service.cli.api import DEMO_MOBILE, DEMO_WEB, Api
from token_service.cli.command import api_command, group
from token_service.cli.output import as_dict, enum_text
from token_service.cli.problems import REFUSED, CliError, refusal_of, show_refusal
from token_service.cli.tokens import credential_of
from tokenservice.v1 import pairing_service_pb2 as pb
from tokenservice.v1 import token_service_pb2, types_pb2

app = group("Let one device log another one in by a QR code.")

User = Annotated[str, typer.Option(help="Whose device the logged-in one is.")]

_PC = types_pb2.Device(device_id="demo-pc", name="Demo PC", user_agent="token-service pair demo")
_PHONE = types_pb2.Device(device_id="demo-phone", name="Demo phone", user_agent="pair phone")
_ID_BYTES = 16
_WRONG_NUMBER = "CHECK_NUMBER_WRONG"
_SCANNED, _APPROVED = types_pb2.PAIRING_STATE_SCANNED, types_pb2.PAIRING_STATE_APPROVED


class DirectionWord(StrEnum):
    """Which device lets the other one in."""

    MAP = "map"
    PAM = "pam"


_DIRECTIONS = {
    DirectionWord.MAP: types_pb2.PAIRING_DIRECTION_MAP,
    DirectionWord.PAM: types_pb2.PAIRING_DIRECTION_PAM,
}


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
    request = pb.StartPairingRequest(direction=_DIRECTIONS[direction], device=_PC)
    pam = direction is DirectionWord.PAM
    if pam:
        request.client_id = for_client
        request.session_token = _log_in(api, user, types_pb2.PLATFORM_WEB, password_file)
    started = api.call(api.pairings.StartPairing, request)
    own = {"pairing_id": started.pairing_id, "watch_secret": started.watch_secret}

    def act(message: pb.WatchPairingResponse) -> None:
        if pam and message.state == _SCANNED:
            _approve(api, request.session_token, own)
        elif not pam and message.state == _APPROVED:
            _collect(api, own)

    _follow(api, own, act)


@api_command(app, "phone", caller=DEMO_MOBILE)
def phone(api: Api, user: User = "alice", password_file: inputs.PasswordSource = None) -> None:
    """Be the phone: take the code from stdin or a prompt, as a camera would read it."""
    session_token = _log_in(api, user, types_pb2.PLATFORM_MOBILE, password_file)
    code = _asked("Code").rpartition("/")[2]
    scanned = api.call(
        api.pairings.ScanPairing,
        pb.ScanPairingRequest(
            code=code,
            scan_id=secrets.token_bytes(_ID_BYTES),
            session_token=session_token,
            device=_PHONE,
        ),
    )
    own = {"pairing_id": scanned.pairing_id, "scan_secret": scanned.scan_secret}
    _show_peer(api, scanned)
    if scanned.direction == types_pb2.PAIRING_DIRECTION_MAP:
        _approve(api, session_token, own)
        return

    def act(message: pb.WatchPairingResponse) -> None:
        if message.state == _APPROVED:
            _collect(api, own)

    _follow(api, own, act)


def _follow(api: Api, own: dict[str, Any], act: Any) -> None:  # noqa: ANN401 - a callback
    """Show each state and do what is this side's to do, to the end. Exit code 1 unless the
    pairing is completed."""
    former = pb.WatchPairingResponse()
    for message in api.watch(api.pairings.WatchPairing, pb.WatchPairingRequest(**own)):
        if message == former:  # a sign of life
            continue
        former = message
        if api.out.as_json:
            api.out.json(as_dict(message))
        else:
            for line in lines_of(message):
                api.out.line(line)
        act(message)
    if former.state != types_pb2.PAIRING_STATE_COMPLETED:
        raise typer.Exit(REFUSED)


def lines_of(message: pb.WatchPairingResponse) -> list[str]:
    """Return what people see of a state, the QR code included."""
    lines = [enum_text(types_pb2.PairingState.DESCRIPTOR, message.state)]
    if message.end_reason:
        lines[0] += f": {enum_text(types_pb2.PairingEndReason.DESCRIPTOR, message.end_reason)}"
    if message.code:
        lines += [*qr_lines(message.qr_uri), message.qr_uri]
    if message.HasField("peer"):
        lines.append(_peer_text(message))
    if message.check_number:
        lines.append(f"check number {message.check_number}: type it on the other device")
    return lines


def qr_lines(text: str) -> list[str]:
    """Return a QR code in half blocks, two modules to a character."""
    drawn = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(drawn, compact=True)
    return drawn.getvalue().splitlines()


def _approve(api: Api, session_token: str, own: dict[str, Any]) -> None:
    try:
        _type_number(api, session_token, own)
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        if refusal.reason != _WRONG_NUMBER:
            raise
        show_refusal(refusal, as_json=api.out.as_json)
        api.out.note("it may be typed once more; another wrong one ends the pairing")
        _type_number(api, session_token, own)


def _type_number(api: Api, session_token: str, own: dict[str, Any]) -> None:
    request = pb.ApprovePairingRequest(
        session_token=session_token, check_number=_asked("Check number"), **own
    )
    reply = api.call(api.pairings.ApprovePairing, request)
    api.out.note(enum_text(types_pb2.PairingState.DESCRIPTOR, reply.state))


def _collect(api: Api, own: dict[str, Any]) -> None:
    request = pb.CollectPairingRequest(exchange_id=secrets.token_bytes(_ID_BYTES), **own)
    tokens = api.call(api.pairings.CollectPairing, request).tokens
    kind = enum_text(types_pb2.TokenKind.DESCRIPTOR, tokens.session_kind)
    api.out.note(f"collected the {kind} {tokens.session_id}")


def _log_in(
    api: Api, user: str, platform: types_pb2.Platform.ValueType, password_file: str | None
) -> str:
    request = token_service_pb2.IssueRequest(
        password=credential_of(api, user, password_file), platform=platform
    )
    reply = api.call(api.tokens.Issue, request)
    return reply.tokens.session_token


def _show_peer(api: Api, scanned: pb.ScanPairingResponse) -> None:
    api.out.note(_peer_text(scanned))
    if scanned.check_number:
        api.out.note(f"check number {scanned.check_number}: type it on the other device")


def _peer_text(message: pb.WatchPairingResponse | pb.ScanPairingResponse) -> str:
    peer = message.peer
    named = ", ".join(filter(None, (peer.name, peer.user_agent, peer.ip_address)))
    network = "on the same network" if message.same_network else "not known to be on this network"
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
