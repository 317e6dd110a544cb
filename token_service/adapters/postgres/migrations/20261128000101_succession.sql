-- migrate:up

-- Which server the log was last written on: its system identifier and timeline. NULL until the
-- first node has looked. Servers of the last version pass over both.
ALTER TABLE trust_head ADD COLUMN system_identifier bigint, ADD COLUMN timeline bigint;

-- One row: the primary's sign of life, one commit a second for the whole installation. Not in
-- trust_head: while it waits for a standby it would hold the lock that revocations need.
CREATE TABLE trust_beat (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    beat         bigint NOT NULL DEFAULT 0,
    beaten_at    timestamptz NOT NULL DEFAULT 'epoch',
    synchronous  boolean NOT NULL DEFAULT false     -- a standby had it before it was acknowledged
) WITH (fillfactor = 10);
INSERT INTO trust_beat DEFAULT VALUES;

-- Logs that ended in this database, and how far each had come: a node that remembers more of one
-- knows by this that something acknowledged was lost.
CREATE TABLE trust_successions (
    epoch     uuid PRIMARY KEY,
    revision  bigint NOT NULL,
    beat      bigint NOT NULL,
    fenced    boolean NOT NULL,                     -- everyone logged in again
    ended_at  timestamptz NOT NULL
);

-- Both are NULL where the server does not tell: some managed services do not.
CREATE FUNCTION trust_timeline() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
CREATE FUNCTION trust_system_identifier() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system());
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- migrate:down
DROP FUNCTION trust_system_identifier;
DROP FUNCTION trust_timeline;
DROP TABLE trust_successions, trust_beat;
ALTER TABLE trust_head DROP COLUMN timeline, DROP COLUMN system_identifier;
