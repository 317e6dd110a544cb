-- migrate:up

-- Who or what denied or cancelled a pairing. Nodes of the previous version leave it at 0, unknown.
ALTER TABLE pairings ADD COLUMN end_reason smallint NOT NULL DEFAULT 0;

-- migrate:down
ALTER TABLE pairings DROP COLUMN end_reason;
