"""The statements that find and keep track of what goes with a revocation."""

from token_service.adapters.postgres.replication import WAITING_RECORD
from token_service.domain.kinds import Platform

COLUMNS = (
    "cascade_id, kind, id, device_id, reason, below_rev, spared,"
    " actor, subject, outcome, request_id, address"
)
BEGIN = f"""
INSERT INTO cascades ({COLUMNS}, worked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""  # noqa: S608 - constants, here and below
_FREE = """
WHERE cascade_id = (SELECT cascade_id FROM cascades WHERE cascade_id = $1 FOR UPDATE SKIP LOCKED)
"""
WORKING = f"UPDATE cascades SET worked_at = $2 {_FREE}"  # noqa: S608 - constants, here and below
# Another process may have done all of it: the record waits for the standby for that as well.
DONE = f"""
WITH done AS (DELETE FROM cascades {_FREE})
SELECT (SELECT revision FROM trust_head) AS revision,
       {WAITING_RECORD}
"""  # noqa: S608
OF = f"SELECT {COLUMNS} FROM cascades WHERE kind = $1 AND id = $2"  # noqa: S608
CLAIM = f"""
UPDATE cascades SET worked_at = $1
WHERE cascade_id = (SELECT cascade_id FROM cascades WHERE worked_at < $2
                    ORDER BY worked_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING {COLUMNS}
"""  # noqa: S608

# One look into the index for each parent. BETWEEN and not `=`: of a range that it does not know the
# planner expects few rows. By `=` it goes by its statistics, and reads the whole table for each
# parent where those say that most paired sessions have the same one.
_CHILD_OF = "c.parent_session_id BETWEEN {0} AND {0}"

PARENTS_AMONG = f"""
SELECT p.session_id FROM unnest($1::uuid[]) AS p (session_id)
CROSS JOIN LATERAL (
    SELECT FROM sessions c WHERE {_CHILD_OF.format("p.session_id")} LIMIT 1
) c
"""  # noqa: S608
CHILDREN = f"""
SELECT p.session_id AS parent, c.session_id, c.revoked_at IS NOT NULL AS revoked
FROM unnest($1::uuid[]) AS p (session_id)
CROSS JOIN LATERAL (
    SELECT session_id, platform, revoked_at FROM sessions c
    WHERE {_CHILD_OF.format("p.session_id")} OFFSET 0
) c
WHERE ($2::boolean OR c.platform = {Platform.WEB}) AND c.session_id IS DISTINCT FROM $3::uuid
"""  # noqa: S608

# A subject's sessions have descendants of that subject alone, which its own entry reaches.
PARENTS_OF_DEVICE = f"""
SELECT s.session_id FROM sessions s
CROSS JOIN LATERAL (
    SELECT FROM sessions c WHERE {_CHILD_OF.format("s.session_id")} LIMIT 1
) c
WHERE s.user_id = $1 AND s.device_id = $2 AND s.rev < $3
"""  # noqa: S608

PAGE = 5_000
# All that let somebody in, in the order of their ids: those of a client or of a mint key are found
# among them. That takes time for each paired session there is, and each statement a small part.
NEXT_PARENTS = f"""
WITH page AS MATERIALIZED (
    SELECT parent_session_id AS id FROM sessions
    WHERE parent_session_id > $1::uuid ORDER BY parent_session_id LIMIT {PAGE}
)
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last,
       ARRAY(SELECT s.session_id
             FROM (SELECT DISTINCT id FROM page) page
             CROSS JOIN LATERAL (
                 SELECT session_id FROM sessions
                 WHERE session_id = page.id
                   AND (client_id = $2::text AND rev < $3::bigint OR mint_kid = $4::text) OFFSET 0
             ) s) AS parents
"""  # noqa: S608
