"""`token-service code`: coupons, invitations and verification codes."""

from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from token_service.cli import inputs, variables
from token_service.cli.api import Api
from token_service.cli.choices import CODE_KINDS, CodeWord
from token_service.cli.command import api_command, group
from token_service.cli.output import fields_of
from token_service.cli.problems import CliError
from tokenservice.v1 import code_service_pb2 as pb

app = group("Issue and redeem one-time codes.")

Purpose = Annotated[str, typer.Option(help="What the code is for, such as signup-email.")]
Recipient = Annotated[str, typer.Option(help="Whom the code is sent to.")]
CodeId = Annotated[str, typer.Argument(help="Public name of the code.")]
RequestId = Annotated[
    str | None, typer.Option(help="Repeat a call whose reply was lost: the id it was made with.")
]


@api_command(app, "issue")
def issue(
    api: Api,
    purpose: Purpose,
    kind: Annotated[CodeWord, typer.Option(help="What kind of code.")],
    recipient: Recipient = "",
    subject: Annotated[str, typer.Option(help="What it is about, for the record.")] = "",
    max_uses: Annotated[int, typer.Option(min=0, help="Default: 1.")] = 0,
    ttl: Annotated[str | None, typer.Option(help="How long it is accepted, such as 7d.")] = None,
    not_before: Annotated[
        str | None, typer.Option(help="From when on, such as 2027-01-31T00:00:00Z.")
    ] = None,
    length: Annotated[int, typer.Option(min=0, help="Number of characters.")] = 0,
    alphabet: Annotated[str, typer.Option(help="Characters to choose from.")] = "",
    payload: Annotated[str, typer.Option(help="What whoever redeems it is told.")] = "",
    request_id: RequestId = None,
) -> None:
    """Make a code, and print it this once (again with the same --request-id).

    A verification code ends the former one of the same purpose and recipient at once.
    """
    request = pb.IssueCodeRequest(
        purpose=purpose,
        kind=CODE_KINDS[kind],
        recipient=recipient,
        subject=subject,
        max_uses=max_uses,
        length=length,
        alphabet=alphabet,
        payload=payload.encode(),
        request_id=inputs.request_id(request_id),
    )
    if ttl is not None:
        request.ttl.CopyFrom(inputs.duration(ttl))
    if not_before is not None:
        request.not_before.CopyFrom(_moment(not_before))
    api.out.note(f"request id {request.request_id} (repeat with --request-id)")
    api.out.message(api.call(api.codes.IssueCode, request))
    if kind is CodeWord.VERIFICATION:
        api.out.note("a former code for this purpose and recipient has ended")


@api_command(app, "redeem")
def redeem(
    api: Api,
    purpose: Purpose,
    source: Annotated[
        str | None,
        typer.Argument(
            help=variables.read_by(
                "Where the code is: - for stdin, or a file. Left out: the variable, stdin or a "
                "prompt.",
                variables.CODE,
            )
        ),
    ] = None,
    recipient: Recipient = "",
    redeemer: Annotated[str, typer.Option(help="Who redeems it, for the record.")] = "",
    request_id: RequestId = None,
) -> None:
    """Use a code once."""
    request = pb.RedeemCodeRequest(
        purpose=purpose,
        code=inputs.read_code(source),
        recipient=recipient,
        redeemer=redeemer,
        request_id=inputs.request_id(request_id),
    )
    api.out.note(f"request id {request.request_id} (repeat with --request-id)")
    reply = api.call(api.codes.RedeemCode, request)
    if api.out.as_json:
        api.out.message(reply)
    else:
        fields = {**dict(fields_of(reply)), "payload": reply.payload.decode(errors="replace")}
        api.out.record(fields.items())


@api_command(app, "revoke")
def revoke(
    api: Api,
    code_id: CodeId,
    note: Annotated[str, typer.Option(help="For the audit record.")] = "",
) -> None:
    """End a code: it is refused from now on."""
    request = pb.RevokeCodeRequest(code_id=code_id, note=note)
    api.out.message(api.call(api.codes.RevokeCode, request).record)


@api_command(app, "get")
def get(api: Api, code_id: CodeId) -> None:
    """Show what is known of a code; the code itself is not."""
    request = pb.GetCodeRequest(code_id=code_id)
    api.out.message(api.call(api.codes.GetCode, request).record)


def _moment(text: str) -> Timestamp:
    moment = Timestamp()
    try:
        moment.FromJsonString(text)
    except ValueError:
        raise CliError(f"not a time: {text!r}; write 2027-01-31T00:00:00Z") from None
    return moment
