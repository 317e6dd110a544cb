"""Audit rows, as histories."""

from tests.histories.planted.registry import accept, plant
from tests.histories.story import Story


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


@accept
def a_change_that_was_made_when_it_was_asked_before(story: Story) -> None:
    for answer in ("?STORE_UNAVAILABLE", ""):
        story.tell("disable_user", answer, target=["user", 7], writes=[["user 7", "disabled"]])
    story.audited((1, "user.disable"))
