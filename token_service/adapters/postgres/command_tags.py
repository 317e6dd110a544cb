"""What PostgreSQL reports of a statement that returns no rows."""


def count_of(tag: str) -> int:
    """The number of rows in a command tag such as `UPDATE 3`."""
    return int(tag.rpartition(" ")[2])
