"""Server processes: the supervisor, its workers, and how one process replaces another."""
