-- migrate:up

-- One-time codes of applications. Of a code only a keyed hash is kept, and none once a newer code
-- has taken its place. A redemption touches no indexed column (heap-only updates).
CREATE TABLE codes (
    code_id             uuid PRIMARY KEY,
    kind                smallint NOT NULL,
    length              smallint NOT NULL,
    max_uses            integer NOT NULL,
    uses                integer NOT NULL DEFAULT 0,
    failures            integer NOT NULL DEFAULT 0, -- wrong attempts at purpose and recipient
    hit                 boolean NOT NULL DEFAULT false, -- whether the last attempt redeemed it
    failures_until      timestamptz,                -- until when they count
    created_at          timestamptz NOT NULL,
    not_before          timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL,
    revoked_at          timestamptz,
    last_redeemed_at    timestamptz,
    client_id           text NOT NULL,              -- whose it is
    purpose             text NOT NULL,
    recipient           text NOT NULL,
    subject             text NOT NULL,
    alphabet            text NOT NULL,
    pepper_id           text NOT NULL,
    code_hash           bytea UNIQUE,
    request_id          text,                       -- with these a repeated issue answers the
    request_hash        bytea NOT NULL,             -- same code, which is derived, never stored
    payload             bytea NOT NULL,
    CHECK (uses BETWEEN 0 AND max_uses)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX codes_request ON codes (client_id, request_id);
-- At most one verification code that can be guessed for a purpose and recipient.
CREATE UNIQUE INDEX codes_guessable ON codes (client_id, purpose, recipient)
    WHERE kind = 3 AND code_hash IS NOT NULL;
CREATE INDEX codes_expiry ON codes (expires_at);

-- What each request redeemed, so that it gets the same answer again.
CREATE TABLE code_redemptions (
    client_id   text NOT NULL,
    request_id  text NOT NULL,
    code_id     uuid NOT NULL,
    uses_left   integer NOT NULL,
    at          timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,               -- the code's
    code_hash   bytea NOT NULL,
    recipient   text NOT NULL,
    redeemer    text NOT NULL,
    PRIMARY KEY (client_id, request_id)
);
CREATE INDEX code_redemptions_expiry ON code_redemptions (expires_at);

-- migrate:down
DROP TABLE code_redemptions, codes;
