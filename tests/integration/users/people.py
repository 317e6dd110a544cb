"""Attempts to log in as Alice."""

from tests.support.node import NOBODY, Node
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.usecases.login.passwords import PasswordCredential
from token_service.usecases.login.verifiers import LoginAttempt

NEW_PASSWORD = "another horse entirely"
ADDRESS = "198.51.100.7"


async def logs_in(node: Node, caller: Caller, password: str) -> bool:
    try:
        await node.login(caller, "alice", password)
    except TokenServiceError as error:
        if error.reason is not Reason.CREDENTIALS_INVALID:
            raise
        return False
    return True


async def attempt(node: Node, password: str, address: str = ADDRESS) -> Reason | None:
    """What a login attempt comes to."""
    try:
        await node.verify(PasswordCredential("alice", password), LoginAttempt(NOBODY, address))
    except TokenServiceError as error:
        return error.reason
    return None
