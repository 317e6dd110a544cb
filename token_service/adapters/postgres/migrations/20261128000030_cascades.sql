-- migrate:up

-- Revocations whose descendants are still being revoked: a row is written with the revocation and
-- goes with the last descendant, so what a crash leaves is found and finished. Nodes of the
-- previous version revoke descendants in the revocation's own transaction and need no row.
CREATE TABLE cascades (
    cascade_id  uuid PRIMARY KEY,
    kind        smallint NOT NULL,          -- what was revoked, as in trust_log
    id          text NOT NULL,
    device_id   text NOT NULL,
    reason      smallint NOT NULL,
    below_rev   bigint NOT NULL,            -- a client's or device's sessions issued below it
    spared      uuid,
    actor       text NOT NULL,              -- of the audit row of the revocation, as what follows
    subject     text NOT NULL,
    outcome     text NOT NULL,
    request_id  text NOT NULL,
    address     text NOT NULL,
    worked_at   timestamptz NOT NULL
);

-- migrate:down
DROP TABLE cascades;
