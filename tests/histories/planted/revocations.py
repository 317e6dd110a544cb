"""Revocations, respected and not, as histories."""

from tests.histories.planted.registry import accept, plant
from tests.histories.story import LIMIT, Story


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


@accept
def active_by_another_process_of_the_node_that_revoked(story: Story) -> None:
    story.history.workers = 2
    story.issue()
    story.revoke("all", place="node-1")
    story.validate(place="node-1")


@plant("revoked, accepted")
def active_too_late_by_another_process_of_the_node(story: Story) -> None:
    story.history.workers = 2
    story.issue()
    revoked = story.revoke("all", place="node-1")
    story.validate(at=revoked.done + LIMIT + 1, place="node-1")


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


@accept
def a_node_that_lost_its_database_as_it_revoked(story: Story) -> None:
    story.issue()
    story.revoke("session", 1, place="node-0")
    story.validate(place="node-0")
    story.tell("exchange", "?STORE_UNAVAILABLE", client="app", token=5, once=9, place="node-0")
