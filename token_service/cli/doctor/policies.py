"""Whether the tokens of the stored clients' policies can be made, and kept in cookies."""

from collections.abc import Sequence

from token_service.app.client_policies import PolicyTokens
from token_service.cli.doctor.checks import Check, ok, warn
from tokenservice.core.limits import COOKIE_BYTES, MAX_TOKEN_LENGTH


def judge(clients: Sequence[PolicyTokens]) -> list[Check]:
    """Judge the policies of all clients; one check per finding."""
    found = [check for client in clients if (check := _client(client)) is not None]
    return found or [ok("client policies", f"tokens of {len(clients)} clients can be made")]


def _client(client: PolicyTokens) -> Check | None:
    name = f"policy of {client.client_id}"
    if not client.longest:
        return warn(name, "its algorithm has no key: it gets no tokens", "set another algorithm")
    if client.longest > MAX_TOKEN_LENGTH:
        return warn(
            name,
            f"a token with all scopes has {client.longest} characters: it is refused",
            "take scopes away",
        )
    if client.exceeds_cookie:
        return warn(
            name,
            f"tokens can have {client.longest} characters, cookies {COOKIE_BYTES} bytes",
            "take scopes away, or keep its tokens out of cookies",
        )
    return None
