-- SPDX-License-Identifier: MIT
-- Standby servers. Each has a role with the right to replicate, whose password only a superuser can
-- change; by this function it replaces the one that was printed when it was added.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'totp_standby') THEN
    CREATE ROLE totp_standby NOLOGIN;
  END IF;
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO totp_standby', current_database());
END $$;

-- It looks whether it has a slot already.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_get_replication_slots() TO totp_standby;

-- What a standby server says of itself: nobody else can look at its files.
SET LOCAL ROLE totp_owner;
CREATE TABLE totp.standby (
  name name PRIMARY KEY,                   -- of its role
  port int NOT NULL CHECK (port BETWEEN 1 AND 65535),
  keys text[] NOT NULL                     -- check values of its key files
);
RESET ROLE;

CREATE SCHEMA totp_standby_1 AUTHORIZATION totp_owner;
GRANT USAGE ON SCHEMA totp_standby_1 TO totp_standby;

-- Of the role that is connected, whatever it has set its role to.
CREATE FUNCTION totp_standby_1.set_verifier(verifier text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (verifier ~ '^SCRAM-SHA-256\$[0-9]+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$')
     IS NOT TRUE THEN
    RAISE EXCEPTION 'not a SCRAM verifier' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  EXECUTE format('ALTER ROLE %I PASSWORD %L', session_user, verifier);
END $$;
REVOKE ALL ON FUNCTION totp_standby_1.set_verifier(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION totp_standby_1.set_verifier(text) TO totp_standby;

SET LOCAL ROLE totp_owner;
CREATE FUNCTION totp_standby_1.tell(port int, keys text[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO totp.standby (name, port, keys) VALUES (session_user, tell.port, tell.keys)
  ON CONFLICT ON CONSTRAINT standby_pkey DO UPDATE SET port = excluded.port, keys = excluded.keys
$$;
GRANT EXECUTE ON FUNCTION totp_standby_1.tell(int, text[]) TO totp_standby;
RESET ROLE;
