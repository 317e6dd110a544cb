-- migrate:up

-- The hash of a registration secret that was used up. Whoever still has the secret is told that the
-- credentials were collected; to everybody else that reads like a wrong secret.
ALTER TABLE clients ADD COLUMN registration_spent bytea;

-- migrate:down
ALTER TABLE clients DROP COLUMN registration_spent;
