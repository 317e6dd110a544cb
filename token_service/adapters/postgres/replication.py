"""What replication promises of a commit, as a session of the primary can tell."""

WAITING_RECORD = "pg_logical_emit_message(true, 'token-service', '')"
"""A record that says nothing. With it the commit of a transaction that changes nothing waits for
the standby like any other, and so for all that it has seen."""

SYNCHRONOUS_COMMITS = ("on", "remote_apply")
"""The settings of `synchronous_commit` under which a standby has flushed what was acknowledged.

Not `remote_write`: the standby's operating system has it, and a crash of that loses it. Not
`local` and `off`: nobody waits for a standby.
"""

SYNCHRONOUS = f"""(
    current_setting('synchronous_standby_names') ~ '[^[:space:]]'
    AND current_setting('synchronous_commit') IN {SYNCHRONOUS_COMMITS})"""
"""Whether a commit of this session is acknowledged only after a synchronous standby
has flushed it, at this moment: a boolean expression.

Where a name is set the primary waits for its standby, also when none is connected. So the
settings say it all, and `pg_stat_replication`, whose `sync_state` not every user may read, is not
asked. They do not say that what is promoted in the end is one of those standbys.
"""
