-- migrate:up

-- What is over is removed by the index on the time at which it is; only these had none.
CREATE INDEX attempts_window ON attempts (window_ends_at);
CREATE INDEX trust_log_keep ON trust_log (keep_until);
CREATE INDEX pairings_open ON pairings (ends_at) WHERE state IN (2, 3); -- scanned, approved

-- Rows come and go at the same rate here. Vacuum has to keep up with that, or the table grows: it
-- begins earlier than by default, and does in one go what it would do in ten.
ALTER TABLE sessions SET (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_limit = 2000);

-- migrate:down
ALTER TABLE sessions RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_cost_limit);
DROP INDEX pairings_open, trust_log_keep, attempts_window;
