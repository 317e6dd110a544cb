"""`token-service code`: coupons, invitations and verification codes."""

from typing import Annotated

import typer

from token_service.cli import inputs, variables
from token_service.cli.calling.api import Api
from token_service.cli.choices import CodeWord
from token_service.cli.command import api_command, group
from token_service.cli.values import fields_of

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
    max_uses: Annotated[int, typer.Option(min=1, help="How often it can be redeemed.")] = 1,
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
    from tokenservice import CodeKind

    used_id = inputs.request_id(request_id)
    api.out.note(f"request id {used_id} (repeat with --request-id)")
    call = api.codes.issue(
        purpose=purpose,
        kind=CodeKind[kind.name],
        recipient=recipient,
        subject=subject,
        max_uses=max_uses,
        ttl=None if ttl is None else inputs.duration(ttl),
        not_before=None if not_before is None else inputs.moment(not_before),
        length=length,
        alphabet=alphabet,
        payload=payload.encode(),
        request_id=used_id,
        timeout=api.timeout,
    )
    api.out.value(api.run(call))
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
    code, used_id = inputs.read_code(source), inputs.request_id(request_id)
    api.out.note(f"request id {used_id} (repeat with --request-id)")
    call = api.codes.redeem(
        purpose=purpose,
        code=code,
        recipient=recipient,
        redeemer=redeemer,
        request_id=used_id,
        timeout=api.timeout,
    )
    redeemed = api.run(call)
    if api.out.as_json:
        api.out.value(redeemed)
    else:
        payload = redeemed.payload.decode(errors="replace")
        api.out.record({**dict(fields_of(redeemed)), "payload": payload}.items())


@api_command(app, "revoke")
def revoke(
    api: Api,
    code_id: CodeId,
    note: Annotated[str, typer.Option(help="For the audit record.")] = "",
) -> None:
    """End a code: it is refused from now on."""
    api.out.value(api.run(api.codes.revoke(code_id, note=note, timeout=api.timeout)))


@api_command(app, "get")
def get(api: Api, code_id: CodeId) -> None:
    """Show what is known of a code; the code itself is not."""
    api.out.value(api.run(api.codes.get(code_id, timeout=api.timeout)))
