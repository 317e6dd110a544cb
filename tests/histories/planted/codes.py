"""Codes and pairings, as histories."""

from tests.histories.planted.registry import accept, plant
from tests.histories.story import Story


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
