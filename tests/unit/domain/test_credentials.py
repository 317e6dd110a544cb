"""Which credentials a caller may bring, and for whose sessions."""

from dataclasses import replace

import pytest

from tests.unit.domain.test_opening import CLIENT
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import CredentialKind, Platform
from token_service.domain.login.credentials import require_accepted, require_may_bring

GATEWAY = Caller("gateway", ClientPolicy(may_issue_for=frozenset({"shop-web"})))
OF_USERS = [kind for kind in CredentialKind if kind is not CredentialKind.CLIENT]
LISTED = replace(CLIENT, policy=replace(CLIENT.policy, credentials=frozenset(OF_USERS)))


@pytest.mark.parametrize("kind", OF_USERS)
def test_users_log_in_through_their_client_and_whoever_issues_for_it(kind: CredentialKind) -> None:
    require_may_bring(kind, GATEWAY, "gateway")
    require_may_bring(kind, GATEWAY, "shop-web")
    with pytest.raises(TokenServiceError) as refused:
        require_may_bring(kind, GATEWAY, "bank")
    assert refused.value.reason is Reason.CLIENT_MISMATCH


def test_a_client_brings_its_own_credential_for_itself_alone() -> None:
    require_may_bring(CredentialKind.CLIENT, GATEWAY, "gateway")
    with pytest.raises(TokenServiceError) as refused:
        require_may_bring(CredentialKind.CLIENT, GATEWAY, "shop-web")
    assert refused.value.reason is Reason.CLIENT_MISMATCH
    with pytest.raises(TokenServiceError) as refused:
        require_may_bring(CredentialKind.CLIENT, replace(GATEWAY, by_token=True), "gateway")
    assert refused.value.reason is Reason.CREDENTIAL_NOT_ALLOWED


@pytest.mark.parametrize("kind", OF_USERS)
@pytest.mark.parametrize("platform", [Platform.WEB, Platform.MOBILE, Platform.API])
def test_a_policy_lists_the_credentials_of_users(kind: CredentialKind, platform: Platform) -> None:
    require_accepted(kind, LISTED, platform)
    with pytest.raises(TokenServiceError) as refused:
        require_accepted(kind, CLIENT, platform)
    assert refused.value.reason is Reason.CREDENTIAL_NOT_ALLOWED


def test_a_clients_own_session_is_for_programs() -> None:
    require_accepted(CredentialKind.CLIENT, CLIENT, Platform.API)
    for platform in (Platform.WEB, Platform.MOBILE):
        with pytest.raises(TokenServiceError) as refused:
            require_accepted(CredentialKind.CLIENT, LISTED, platform)
        assert refused.value.reason is Reason.CREDENTIAL_NOT_ALLOWED
