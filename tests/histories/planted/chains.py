"""Chains of tokens, as histories."""

from tests.histories.planted.registry import accept, plant
from tests.histories.story import Story


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
