"""PostgreSQL: the only truth. Raw SQL, one statement per decision wherever one suffices."""
