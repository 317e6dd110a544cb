-- migrate:up

-- What is over is removed by the index on the time at which it is; only these had none.
CREATE INDEX attempts_window ON attempts (window_ends_at);
CREATE INDEX trust_log_keep ON trust_log (keep_until);
CREATE INDEX pairings_open ON pairings (ends_at) WHERE state IN (2, 3);

-- migrate:down
DROP INDEX pairings_open, trust_log_keep, attempts_window;
