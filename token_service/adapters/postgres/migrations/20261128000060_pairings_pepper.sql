-- migrate:up transaction:false

-- Tells until when pairings depend on a former pepper. Built beside the nodes that serve them.
CREATE INDEX CONCURRENTLY pairings_pepper ON pairings (pepper_id, ends_at);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY pairings_pepper;
