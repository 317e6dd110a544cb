-- migrate:up transaction:false

-- Tells until when codes depend on a former pepper. Built beside the nodes that issue codes.
CREATE INDEX CONCURRENTLY codes_pepper ON codes (pepper_id, expires_at);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY codes_pepper;
