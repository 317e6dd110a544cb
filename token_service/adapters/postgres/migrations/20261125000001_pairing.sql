-- migrate:up

-- A session that came of a pairing names it, at most one for each, and the session that approved
-- it, whose revocation may reach it. No exchange touches these columns.
ALTER TABLE sessions
    ADD COLUMN parent_session_id uuid,
    ADD COLUMN pairing_id uuid;
CREATE UNIQUE INDEX sessions_pairing ON sessions (pairing_id) WHERE pairing_id IS NOT NULL;
CREATE INDEX sessions_parent ON sessions (parent_session_id) WHERE parent_session_id IS NOT NULL;

-- Pairings from the scan, or an earlier end, on. Secrets are kept as keyed hashes alone.
CREATE TABLE pairings (
    pairing_id          uuid PRIMARY KEY,
    direction           smallint NOT NULL,
    state               smallint NOT NULL,
    direct              boolean NOT NULL,
    wrong_numbers       smallint NOT NULL DEFAULT 0,
    approver_acr        smallint,
    approver_amr        smallint,
    approver_auth_time  timestamptz,
    approver_session    uuid,
    child_session       uuid,
    started_at          timestamptz NOT NULL,
    scanned_at          timestamptz,
    ends_at             timestamptz NOT NULL,       -- of the present state; past, it has expired
    client_id           text NOT NULL,              -- whose session comes of it
    starter_client      text NOT NULL,
    scanner_client      text NOT NULL DEFAULT '',
    pepper_id           text NOT NULL,
    watch_hash          bytea NOT NULL,
    scan_hash           bytea NOT NULL DEFAULT '',
    audiences           text[] NOT NULL,
    scopes              text[] NOT NULL,
    starter             text[] NOT NULL,            -- device id, name, user agent, address
    scanner             text[] NOT NULL
);
CREATE INDEX pairings_ends ON pairings (ends_at);

-- The codes that were alive at the scan: whoever else scans one of them is noticed.
CREATE TABLE pairing_codes (
    code_hash   bytea PRIMARY KEY,
    pairing_id  uuid NOT NULL,
    dies_at     timestamptz NOT NULL
);
CREATE INDEX pairing_codes_dies ON pairing_codes (dies_at);

-- migrate:down
DROP TABLE pairing_codes, pairings;
ALTER TABLE sessions DROP COLUMN pairing_id, DROP COLUMN parent_session_id;
