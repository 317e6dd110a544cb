"""Failovers that lose commits, and restored backups, as histories."""

from tests.histories.planted.registry import accept, plant
from tests.histories.story import Story


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
