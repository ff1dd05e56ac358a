-- SPDX-License-Identifier: MIT
-- Secrets at rest: sealed with a key that lies beside the database, on each server, and is in no dump,
-- base backup or WAL. A superuser of a live server can unseal them, and nobody else.

-- Content of the key file of a version. Only this function, of a role of its own, can read files.
GRANT USAGE, CREATE ON SCHEMA totp TO totp_key;
GRANT USAGE ON LANGUAGE plpgsql TO totp_key;
SET LOCAL ROLE totp_key;
CREATE FUNCTION totp.key_file(version int) RETURNS bytea
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN pg_read_binary_file('/etc/pam-totp/fleet-key.' || version);
END $$;
GRANT EXECUTE ON FUNCTION totp.key_file(int) TO totp_owner;
RESET ROLE;
REVOKE CREATE ON SCHEMA totp FROM totp_key;
REVOKE USAGE ON LANGUAGE plpgsql FROM totp_key;

SET LOCAL ROLE totp_owner;

-- 64 bytes for one purpose, derived from the key file.
CREATE FUNCTION totp.key_for(purpose text, version int) RETURNS bytea
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
  content bytea := totp.key_file(version);
BEGIN
  IF length(content) < 32 THEN
    RAISE EXCEPTION 'the key file fleet-key.% is too short', version USING ERRCODE = 'P0T05';
  END IF;
  RETURN totp_crypto.hmac(convert_to('pam-totp ' || purpose, 'UTF8'), content, 'sha512');
END $$;

-- IV (16 bytes), AES-256-CBC of the secret, HMAC-SHA-256 over both and `bound_to`, which is the place
-- of the secret: it opens in no other row and for no other person.
CREATE FUNCTION totp.seal(secret bytea, bound_to text, version int) RETURNS bytea
LANGUAGE plpgsql VOLATILE STRICT AS $$
DECLARE
  keys bytea := totp.key_for('sealing', version);
  iv bytea := totp_crypto.gen_random_bytes(16);
  closed bytea := iv || totp_crypto.encrypt_iv(secret, substr(keys, 1, 32), iv, 'aes-cbc/pad:pkcs');
BEGIN
  RETURN closed || totp.seal_mac(closed, bound_to, keys);
END $$;

CREATE FUNCTION totp.seal_mac(closed bytea, bound_to text, keys bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN totp_crypto.hmac(closed || convert_to(bound_to, 'UTF8'), substr(keys, 33), 'sha256');
END $$;

-- The secret. Raises P0T05 if the key is another one, or the row was changed or moved.
CREATE FUNCTION totp.unseal(sealed bytea, bound_to text, version int) RETURNS bytea
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
  keys bytea := totp.key_for('sealing', version);
  closed bytea := substr(sealed, 1, length(sealed) - 32);
BEGIN
  IF substr(sealed, length(sealed) - 31) <> totp.seal_mac(closed, bound_to, keys) THEN
    RAISE EXCEPTION 'a secret does not open with the key file fleet-key.%', version
      USING ERRCODE = 'P0T05';
  END IF;
  RETURN totp_crypto.decrypt_iv(
    substr(closed, 17), substr(keys, 1, 32), substr(closed, 1, 16), 'aes-cbc/pad:pkcs');
END $$;

CREATE FUNCTION totp.place_of(person totp.person, credential bigint) RETURNS text
LANGUAGE sql STABLE AS $$ SELECT credential || ' ' || person.name $$;

CREATE FUNCTION totp.place_of_pending(person totp.person, pending bigint) RETURNS text
LANGUAGE sql STABLE AS $$ SELECT 'pending ' || pending || ' ' || person.name $$;

-- Whether this server has the key file that the store was sealed with; null: no such version.
CREATE FUNCTION totp.key_is_right(version int) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
  RETURN (SELECT mac = totp.key_for('check', key_is_right.version)
          FROM totp.key_check k WHERE k.version = key_is_right.version);
END $$;

-- From now on new secrets are sealed with this version. The first use of one decides which key it is.
CREATE FUNCTION totp.use_key(version int) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT AS $$
BEGIN
  INSERT INTO totp.key_check (version, mac)
  VALUES (use_key.version, totp.key_for('check', use_key.version)) ON CONFLICT DO NOTHING;
  IF NOT totp.key_is_right(use_key.version) THEN
    RAISE EXCEPTION 'fleet-key.% is not the key that this store was sealed with', version
      USING ERRCODE = 'P0T05';
  END IF;
  UPDATE totp.store SET key_version = use_key.version;
END $$;

RESET ROLE;
