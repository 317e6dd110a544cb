"""The checker finds every planted violation, and accepts what may happen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.histories.checker import check
from tests.histories.history import History
from tests.histories.story import LIMIT, Story

Plant = Callable[[Story], object]
PLANTED: dict[str, tuple[str, Plant]] = {}
ACCEPTED: dict[str, Plant] = {}


def plant(promise: str) -> Callable[[Plant], Plant]:
    """A history that breaks this promise, and no other."""

    def add(write: Plant) -> Plant:
        PLANTED[write.__name__] = (promise, write)
        return write

    return add


def accept(write: Plant) -> Plant:
    """A history that breaks none."""
    ACCEPTED[write.__name__] = write
    return write


@pytest.mark.parametrize("name", PLANTED)
def test_finds(name: str) -> None:
    promise, write = PLANTED[name]
    story = Story()
    write(story)
    assert {violation.promise for violation in check(story.history)} == {promise}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepts(name: str) -> None:
    story = Story()
    ACCEPTED[name](story)
    assert check(story.history) == []


def test_a_kept_history_is_checked_again(tmp_path: Path) -> None:
    story = Story()
    for _, write in PLANTED.values():
        write(story)
    story.lost(1e6)
    story.audited((1, "session.issue"))
    story.history.save(tmp_path / "kept.jsonl.gz")
    again = History.load(tmp_path / "kept.jsonl.gz")
    assert again == story.history
    assert check(again) == check(story.history) != []


# --- chains ---


@plant("one successor")
def two_successors(story: Story) -> None:
    story.issue()
    story.exchange()
    story.exchange(next=177)


@plant("one presenter")
def two_presenters_with_one_successor(story: Story) -> None:
    story.issue()
    story.exchange(once=1)
    story.exchange(once=2)


@plant("reuse")
def reuse_that_reads_superseded(story: Story) -> None:
    story.issue()
    story.exchange(once=1)
    story.exchange(once=2, answer="TOKEN_SUPERSEDED")


@plant("reuse")
def reuse_without_another_presenter(story: Story) -> None:
    story.issue()
    story.exchange(once=1)
    story.exchange(101, once=2, answer="TOKEN_REUSED")


@plant("revoked, exchanged")
def a_family_that_outlives_its_reuse(story: Story) -> None:
    story.issue()
    story.exchange(once=1)
    story.exchange(once=2, answer="TOKEN_REUSED")
    story.exchange(101, once=3)


@plant("nothing lost")
def a_generation_that_is_gone(story: Story) -> None:
    story.issue()
    story.exchange(once=1)
    story.history.generations = {1: 1}


@plant("nothing lost")
def a_generation_of_nobody(story: Story) -> None:
    story.issue()
    story.history.generations = {1: 3}


@accept
def a_chain_with_retries_and_lost_answers(story: Story) -> None:
    story.issue()
    story.exchange(once=1, answer="?DEADLINE_EXCEEDED")
    story.exchange(once=1, replayed=True)
    story.exchange(101, once=2, answer="?UNAVAILABLE")
    story.history.generations = {1: 3}


@accept
def a_duplicate_presenter(story: Story) -> None:
    story.issue()
    story.exchange(once=1)
    story.exchange(once=2, answer="TOKEN_REUSED")
    story.exchange(101, once=3, answer="TOKEN_REVOKED")
    story.validate("REVOKED")


@accept
def a_late_first_try_that_is_reuse(story: Story) -> None:
    story.issue()
    story.exchange(once=1, answer="?DEADLINE_EXCEEDED")
    story.exchange(once=1)
    story.exchange(101, once=2)
    story.exchange(102, once=3, answer="TOKEN_REVOKED")


# --- revocations ---


@plant("revoked, exchanged")
def a_revoked_session_is_exchanged(story: Story) -> None:
    story.issue()
    story.revoke("session", 1)
    story.exchange()


@plant("revoked, exchanged")
def a_disabled_users_session_is_exchanged(story: Story) -> None:
    story.issue(user=7, password=1)
    story.tell("disable_user", target=["user", 7], writes=[["user 7", "disabled"]])
    story.exchange()


@plant("revoked, exchanged")
def a_child_outlives_its_parent(story: Story) -> None:
    story.issue()
    story.tell("approve_pairing", pairing=1)
    story.collect(2)
    story.revoke("session", 1)
    story.exchange(200)


@plant("child of the revoked")
def a_revoked_approver_gives_a_session(story: Story) -> None:
    story.issue()
    story.tell("approve_pairing", pairing=1)
    story.revoke("session", 1)
    story.collect(2)


@plant("revoked, accepted")
def active_after_the_limit(story: Story) -> None:
    story.issue()
    revoked = story.revoke("client", "app")
    story.validate(at=revoked.done + LIMIT + 0.1, place="validator-1")


@plant("revoked, accepted")
def active_on_the_node_that_revoked(story: Story) -> None:
    story.issue()
    story.revoke("all", place="node-1")
    story.validate(place="node-1")


@plant("revoked, accepted")
def active_in_spite_of_min_revision(story: Story) -> None:
    story.issue()
    story.revoke("session", 1, revision=17)
    story.validate(min_revision=17, place="node-1")


@plant("revoked, accepted")
def an_access_token_that_was_revoked_alone(story: Story) -> None:
    story.issue()
    story.revoke("access", 1000)
    story.validate()


@plant("revoked, accepted")
def a_token_of_a_compromised_key(story: Story) -> None:
    story.issue()
    story.tell("compromise_key", target=["key", "k1"])
    story.validate()


@plant("revived")
def a_session_that_comes_back(story: Story) -> None:
    story.issue()
    story.revoke("session", 1, answer="?DEADLINE_EXCEEDED")
    story.exchange(once=1, answer="TOKEN_REVOKED")
    story.exchange(once=2)


@plant("never was")
def a_forged_token(story: Story) -> None:
    story.tell("validate", verdict="ACTIVE", forged=True)


@accept
def revocations_in_time(story: Story) -> None:
    story.issue()
    revoked = story.revoke("session", 1, revision=17, place="node-0")
    story.validate(at=revoked.done + LIMIT - 0.1, place="node-1")
    story.validate("REVOKED", at=revoked.done + LIMIT - 0.1, place="node-1", min_revision=17)
    story.tell("validate", "?UNAVAILABLE", access=1000)
    story.exchange(answer="TOKEN_REVOKED")


@accept
def a_login_that_races_a_revocation(story: Story) -> None:
    story.revoke("client", "app", at=0, until=10)
    story.issue(at=5, until=6)
    story.exchange(at=20)
    story.issue(2, at=7, until=8)
    story.exchange(200, answer="TOKEN_REVOKED", at=20)


@accept
def a_spared_session(story: Story) -> None:
    story.issue(user=7, password=1)
    story.tell("set_password", target=["user", 7], keep=1, writes=[["password 7", 2]])
    story.validate("REVOKED")
    story.exchange()


@accept
def an_unknown_revocation_that_comes_late(story: Story) -> None:
    story.issue()
    story.revoke("session", 1, answer="?DEADLINE_EXCEEDED")
    story.exchange(once=1)
    story.validate(at=100)
    story.exchange(101, once=2, answer="TOKEN_REVOKED", at=110)


# --- what was acknowledged is usable ---


@plant("session usable")
def a_session_that_ends_by_itself(story: Story) -> None:
    story.issue()
    story.exchange(answer="TOKEN_EXPIRED")


@plant("session usable")
def somebody_elses_revocation(story: Story) -> None:
    story.issue(1)
    story.issue(2)
    story.revoke("session", 2)
    story.exchange(100, answer="TOKEN_REVOKED")


@plant("token usable")
def an_access_token_that_ends_by_itself(story: Story) -> None:
    story.issue()
    story.validate("EXPIRED")


@plant("truth about causes")
def an_internal_error(story: Story) -> None:
    story.tell("issue", "INTERNAL", client="app")


@accept
def tokens_that_are_replaced_or_old(story: Story) -> None:
    story.issue()
    story.validate("INSUFFICIENT_SCOPE", scopes=["orders.write"])
    story.tell("update_policy", target=["reissue", "app"])
    story.validate("EXPIRED")
    story.exchange()
    story.validate("EXPIRED", access=1010, at=1_000)


# --- registers ---


@plant("disabled or changed, logged in")
def a_disabled_user_logs_in(story: Story) -> None:
    story.tell("disable_user", target=["user", 7], writes=[["user 7", "disabled"]])
    story.issue(user=7, password=1)


@plant("disabled or changed, logged in")
def an_old_password_logs_in(story: Story) -> None:
    story.tell("create_user", writes=[["password 7", 1], ["user 7", "enabled"]])
    story.tell("set_password", target=["user", 7], writes=[["password 7", 2]])
    story.issue(user=7, password=1)


@plant("disabled or changed, logged in")
def a_disabled_client_is_served(story: Story) -> None:
    story.tell("disable_client", target=["client", "app"], writes=[["client app", "disabled"]])
    story.issue()


@plant("login possible")
def a_user_who_cannot_log_in(story: Story) -> None:
    story.tell("create_user", writes=[["password 7", 1], ["user 7", "enabled"]])
    story.tell("issue", "CREDENTIALS_INVALID", client="app", user=7, password=1)


@plant("policy")
def a_scope_that_was_taken_away(story: Story) -> None:
    story.tell("update_policy", target=["reissue", "app"], writes=[["policy app", "narrow"]])
    wide = [[1, ["orders.read", "orders.write"], "k1"]]
    story.issue(access=wide, at=story.now + LIMIT + 1)


@plant("policy")
def a_scope_that_was_given_and_lost(story: Story) -> None:
    story.tell("update_policy", writes=[["policy app", "narrow"]])
    story.tell("update_policy", writes=[["policy app", "wide"]])
    story.issue(at=story.now + LIMIT + 1)


@plant("compromised key")
def a_token_made_with_a_compromised_key(story: Story) -> None:
    story.tell("compromise_key", target=["key", "k1"])
    story.issue(at=story.now + LIMIT + 1)


@accept
def registers_that_are_read_as_they_may_be(story: Story) -> None:
    story.tell("create_user", writes=[["password 7", 1], ["user 7", "enabled"]])
    story.tell("disable_user", "?UNAVAILABLE", target=["user", 7], writes=[["user 7", "disabled"]])
    story.issue(1, user=7, password=1)
    story.tell("issue", "CREDENTIALS_INVALID", client="app", user=7, password=1)
    story.tell("enable_user", writes=[["user 7", "enabled"]])
    story.issue(2, user=7, password=1)
    story.tell("update_policy", writes=[["policy app", "narrow"]], target=["reissue", "app"])
    wide = [[1, ["orders.read", "orders.write"], "k1"]]
    story.issue(3, access=wide)
    story.issue(4, at=story.now + LIMIT + 1)
    story.tell("update_policy", writes=[["policy app", "wide"]])
    story.exchange(400, at=story.now + LIMIT + 1)  # granted when the policy was narrow


# --- codes and pairings ---


@plant("code's uses")
def a_code_that_is_redeemed_too_often(story: Story) -> None:
    story.tell("issue_code", code=1, max_uses=1)
    story.tell("redeem_code", code=1, request=1)
    story.tell("redeem_code", code=1, request=2)


@plant("code's uses")
def a_request_that_redeems_twice(story: Story) -> None:
    story.tell("issue_code", code=1, max_uses=2)
    story.tell("redeem_code", code=1, request=1)
    story.tell("redeem_code", code=1, request=1)


@plant("code's uses")
def a_revoked_code(story: Story) -> None:
    story.tell("issue_code", code=1, max_uses=2)
    story.tell("revoke_code", code=1)
    story.tell("redeem_code", code=1, request=1)


@plant("code usable")
def a_code_that_nobody_used_up(story: Story) -> None:
    story.tell("issue_code", code=1, max_uses=1)
    story.tell("redeem_code", "CODE_USED_UP", code=1, request=1)


@accept
def codes_that_are_used_up(story: Story) -> None:
    story.tell("issue_code", code=1, max_uses=1)
    story.tell("redeem_code", "?DEADLINE_EXCEEDED", code=1, request=1)
    story.tell("redeem_code", code=1, request=1, replayed=True)
    story.tell("redeem_code", "CODE_USED_UP", code=1, request=2)


@plant("one child")
def two_children(story: Story) -> None:
    story.issue()
    story.tell("approve_pairing", pairing=1)
    for child in (2, 3):
        story.collect(child)


@plant("approved before")
def a_pairing_nobody_approved(story: Story) -> None:
    story.issue()
    story.collect(2)


@plant("approved before")
def an_approved_pairing_that_is_gone(story: Story) -> None:
    story.tell("approve_pairing", pairing=1)
    story.tell("collect", "PAIRING_NOT_FOUND", pairing=1, once=5)


# --- audit ---


@plant("audit")
def an_acknowledged_change_without_a_row(story: Story) -> None:
    story.issue()
    story.audited()


@plant("audit")
def a_row_of_a_refused_change(story: Story) -> None:
    story.tell("issue", "CREDENTIALS_INVALID", client="app")
    story.audited((1, "session.issue"))


@plant("audit")
def a_change_with_two_rows(story: Story) -> None:
    story.issue()
    story.audited((1, "session.issue"), (1, "session.issue"))


@plant("audit")
def a_row_of_nothing(story: Story) -> None:
    story.audited((1, "session.issue"))


@accept
def rows_of_unknown_outcomes(story: Story) -> None:
    story.issue()
    story.tell("issue", "?UNAVAILABLE", client="app")
    story.tell("issue", "?UNAVAILABLE", client="app")
    story.exchange(once=1)
    story.exchange(once=1, replayed=True)
    story.audited((1, "session.issue"), (2, "session.issue"), (4, "session.exchange"))


# --- losses ---


@accept
def a_lossy_failover_with_its_fence(story: Story) -> None:
    story.issue()
    story.exchange(once=1)
    story.revoke("session", 1)
    story.issue(2)
    story.lost(began=3.5, fenced=20)
    story.exchange(once=2, at=15)  # on the new primary, which does not know, before the fence
    story.exchange(101, once=3, answer="TOKEN_EXPIRED", at=30)
    story.exchange(200, answer="TOKEN_REVOKED", at=30)
    story.audited()


@plant("revoked, exchanged")
def a_session_that_survives_the_fence(story: Story) -> None:
    story.issue()
    story.lost(began=2, fenced=20)
    story.exchange(at=30)


@plant("revoked, exchanged")
def a_revocation_that_is_forgotten_after_the_fence(story: Story) -> None:
    story.issue()
    story.revoke("session", 1)
    story.lost(began=3, fenced=20)
    story.exchange(at=30)
