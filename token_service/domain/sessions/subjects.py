"""Whom a session is for: a user, or a client that logged itself in."""

from uuid import UUID


def subject_ids(subject: str) -> tuple[UUID | None, str]:
    """A subject as a user id, where it can be one, and as a client id.

    A client id may look like a user id; then both are meant.
    """
    try:
        user_id = UUID(subject)
    except ValueError:
        return None, subject
    return (user_id if str(user_id) == subject else None), subject
