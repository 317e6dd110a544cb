"""What was acknowledged, usable and not, as histories."""

from tests.histories.planted.registry import accept, plant
from tests.histories.story import LIMIT, Story


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


@accept
def an_opaque_token_that_was_revoked_as_its_sibling(story: Story) -> None:
    story.issue(access=[[1000, ["orders.read"], ""]])
    story.exchange(access=[[1, ["orders.read"], ""]])
    story.exchange(access=[[2, ["orders.read"], ""]], replayed=True)
    story.revoke("access", 1)
    story.validate("REVOKED", access=2)


@accept
def a_key_that_was_replaced_just_now(story: Story) -> None:
    story.tell("compromise_key", target=["key", "k0"])
    story.issue()
    story.validate("UNKNOWN", place="validator-0")


@plant("token usable")
def a_key_that_nobody_hears_of(story: Story) -> None:
    compromised = story.tell("compromise_key", target=["key", "k0"])
    story.issue()
    story.validate("UNKNOWN", at=compromised.done + LIMIT + 1, place="validator-0")


@accept
def a_session_that_a_succeeded_primary_lacks(story: Story) -> None:
    story.history.divided = story.issue(2).done
    story.issue()
    story.validate("UNKNOWN")


@plant("token usable")
def a_session_from_before_that(story: Story) -> None:
    story.history.divided = story.issue().done + 1
    story.validate("UNKNOWN")


@plant("token usable")
def a_node_that_reads_the_succeeded_primary_for_ever(story: Story) -> None:
    story.history.divided = story.issue(2).done
    issued = story.issue()
    story.validate("UNKNOWN", at=issued.done + LIMIT + 1)
