-- migrate:up

-- One row: the head of the trust log. Every transaction that revokes, or that changes what nodes
-- cache, takes this row's lock last, so revisions are gap-free in commit order.
CREATE TABLE trust_head (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch           uuid NOT NULL DEFAULT gen_random_uuid(),
    revision        bigint NOT NULL DEFAULT 0,
    valid_rev       bigint NOT NULL DEFAULT 0,      -- sessions issued below it are dead
    config_version  bigint NOT NULL DEFAULT 0,      -- clients, policies, roles
    keys_version    bigint NOT NULL DEFAULT 0,
    longest_access  interval NOT NULL DEFAULT '5 minutes'  -- longest access lifetime ever granted
) WITH (fillfactor = 10);
INSERT INTO trust_head DEFAULT VALUES;

CREATE TABLE trust_log (
    revision    bigint PRIMARY KEY,
    kind        smallint NOT NULL,
    id          text NOT NULL,
    device_id   text NOT NULL DEFAULT '',
    effect      smallint NOT NULL,
    reason      smallint NOT NULL,
    keep_until  timestamptz NOT NULL
);

CREATE TABLE clients (
    client_id           text PRIMARY KEY,
    name                text NOT NULL,
    contact             text NOT NULL DEFAULT '',
    state               smallint NOT NULL,
    policy              jsonb NOT NULL,
    valid_rev           bigint NOT NULL DEFAULT 0,  -- all its sessions issued below it are dead
    own_valid_rev       bigint NOT NULL DEFAULT 0,  -- those of the client itself (without a user)
    registered_by       text NOT NULL,
    reviewed_by         text,
    review_note         text NOT NULL DEFAULT '',
    registration_hash   bytea,
    registration_pepper text,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
);

-- Keyed hashes only. `request_hash` lets a repeated collect or rotation answer the same secret,
-- which is derived, never stored.
CREATE TABLE client_secrets (
    secret_hash     bytea PRIMARY KEY,
    client_id       text NOT NULL REFERENCES clients ON DELETE CASCADE,
    pepper_id       text NOT NULL,
    request_hash    bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    first_used_at   timestamptz
);
CREATE INDEX client_secrets_client ON client_secrets (client_id);

CREATE TABLE roles (
    role    text PRIMARY KEY,
    scopes  text[] NOT NULL
);

CREATE TABLE users (
    user_id             uuid PRIMARY KEY,
    username            text NOT NULL UNIQUE,       -- canonical form
    password_hash       text NOT NULL,
    credential_version  integer NOT NULL DEFAULT 1, -- moves with the password
    roles               text[] NOT NULL DEFAULT '{}',
    version             bigint NOT NULL DEFAULT 1,  -- moves with roles and state
    disabled_at         timestamptz,
    valid_rev           bigint NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL
);

-- Bulk revocation of one subject's device: one row, checked by every exchange of that device.
CREATE TABLE revoked_devices (
    subject     text NOT NULL,                      -- user id, or client id of its own sessions
    device_id   text NOT NULL,
    valid_rev   bigint NOT NULL,
    revoked_at  timestamptz NOT NULL,
    PRIMARY KEY (subject, device_id)
);

-- Failed logins and other guessable attempts, counted where they survive (never in Redis alone).
CREATE TABLE attempts (
    bucket          bytea PRIMARY KEY,              -- keyed hash of kind, account, address
    failures        integer NOT NULL,
    window_ends_at  timestamptz NOT NULL,
    locked_until    timestamptz
);

CREATE TABLE keys (
    kid             text PRIMARY KEY,
    purpose         smallint NOT NULL,
    algorithm       text NOT NULL,
    state           smallint NOT NULL,
    secret_key_id   text NOT NULL,                  -- the configured secret it is sealed or derived under
    sealed_private  bytea,                          -- AES-256-GCM, signing keys only
    public_key      bytea NOT NULL DEFAULT '',      -- DER SubjectPublicKeyInfo
    created_at      timestamptz NOT NULL,
    activates_at    timestamptz NOT NULL,
    retires_at      timestamptz,
    compromised_at  timestamptz
);

-- One row per session, ever. An exchange touches no indexed column (heap-only updates).
CREATE TABLE sessions (
    session_id          uuid PRIMARY KEY,
    lookup_id           uuid NOT NULL UNIQUE,       -- only inside session tokens, never logged
    kind                smallint NOT NULL,
    platform            smallint NOT NULL,
    acr                 smallint NOT NULL,
    amr                 smallint NOT NULL,
    generation          integer NOT NULL DEFAULT 1,
    idle_seconds        integer NOT NULL,
    rev                 bigint NOT NULL,
    user_id             uuid,
    created_at          timestamptz NOT NULL,
    auth_time           timestamptz NOT NULL,
    rotated_at          timestamptz NOT NULL,       -- when the current generation was made
    last_active_at      timestamptz NOT NULL,
    idle_expires_at     timestamptz NOT NULL,
    absolute_expires_at timestamptz NOT NULL,
    revoked_at          timestamptz,
    revoked_reason      smallint,
    client_id           text NOT NULL,
    mint_kid            text NOT NULL,              -- mint key of the current generation
    exchange_hash       bytea,                      -- of the exchange that made it
    confirmation        bytea,
    audiences           text[] NOT NULL,
    scopes              text[] NOT NULL,
    roles               text[] NOT NULL,
    device_id           text NOT NULL DEFAULT '',
    device_name         text NOT NULL DEFAULT '',
    user_agent          text NOT NULL DEFAULT '',
    ip_address          text NOT NULL DEFAULT ''
) WITH (fillfactor = 70, toast_tuple_target = 2000);
CREATE INDEX sessions_user ON sessions (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_client_own ON sessions (client_id) WHERE user_id IS NULL;
CREATE INDEX sessions_absolute ON sessions (absolute_expires_at);

CREATE TABLE audit_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    action      text NOT NULL,
    target      text NOT NULL DEFAULT '',
    subject     text NOT NULL DEFAULT '',
    outcome     text NOT NULL,
    request_id  text NOT NULL DEFAULT '',
    address     text NOT NULL DEFAULT '',
    details     text NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_at ON audit_log (at);

-- migrate:down
DROP TABLE audit_log, sessions, keys, attempts, revoked_devices, users, roles, client_secrets, clients, trust_log, trust_head;
