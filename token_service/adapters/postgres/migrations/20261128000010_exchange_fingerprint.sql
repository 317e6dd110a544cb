-- migrate:up

-- Recognises a repeated exchange whatever audiences and scopes it asks for. Nodes of the previous
-- version neither read nor write it; they keep to exchange_hash, which newer ones write as well.
ALTER TABLE sessions ADD COLUMN exchange_fingerprint bytea;

-- migrate:down
ALTER TABLE sessions DROP COLUMN exchange_fingerprint;
