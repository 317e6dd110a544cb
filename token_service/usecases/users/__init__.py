"""Users and roles as administrators change them, and users' passwords."""
