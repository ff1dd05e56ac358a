-- SPDX-License-Identifier: MIT
-- What administrators may call. Root of a database server is a superuser of it, and gives that up with
-- SET ROLE totp_admin for everyday work.

SET LOCAL ROLE totp_owner;

-- 80 random bits, good once, in place of an earlier invitation of this person.
CREATE FUNCTION totp_admin_1.invite(person text, valid_for interval) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms' AS $$
DECLARE
  known totp.person;
  invitation text := totp.new_code();
  seconds double precision := extract(epoch FROM valid_for);
BEGIN
  IF (seconds BETWEEN 60 AND 30 * 86400) IS NOT TRUE THEN
    RAISE EXCEPTION 'an invitation must be valid for one minute to 30 days'
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  known := totp.known_person(person);
  INSERT INTO totp.invitation (person, digest, expires_at)
  VALUES (known.id, totp.digest_of(invitation), totp.clock() + seconds)
  ON CONFLICT ON CONSTRAINT invitation_pkey
  DO UPDATE SET digest = excluded.digest, expires_at = excluded.expires_at;
  DELETE FROM totp.pending p WHERE p.person = known.id AND p.invitation IS NOT NULL;
  RETURN invitation;
END $$;

-- Takes the invitation back, and the name with it if nothing else is known of the person. Whether there
-- was one that is still valid.
CREATE FUNCTION totp_admin_1.end_invitation(person text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms' AS $$
DECLARE
  known totp.person := totp.lock_person(person);
  until double precision;
BEGIN
  DELETE FROM totp.invitation i WHERE i.person = known.id RETURNING i.expires_at INTO until;
  DELETE FROM totp.pending p WHERE p.person = known.id AND p.invitation IS NOT NULL;
  PERFORM totp.forget_nobodies(ARRAY[known.id]);
  RETURN coalesce(until > totp.clock(), false);
END $$;

-- One row a person, by name; null: of all. A name that the store does not know has no row.
CREATE FUNCTION totp_admin_1.people(names text[] DEFAULT NULL) RETURNS TABLE (
  name text, state text, devices text[], since timestamptz, last_code_at timestamptz,
  recovery_left int, waiting_seconds int, invitation_until timestamptz, reset_at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT p.name, totp.state_of(p), owned.devices, to_timestamp(owned.since),
      to_timestamp(p.last_code_at), totp.recovery_left(p.id),
      totp.whole_wait(p),
      (SELECT to_timestamp(i.expires_at) FROM totp.invitation i
       WHERE i.person = p.id AND i.expires_at > totp.clock()),
      to_timestamp(p.reset_at)
    FROM totp.person p, LATERAL (
      SELECT coalesce(array_agg(c.device ORDER BY c.id), '{}') AS devices, min(c.since) AS since
      FROM totp.credential c WHERE c.person = p.id) owned
    WHERE names IS NULL OR p.name = ANY (names)
    ORDER BY p.name;
END $$;

-- The latest tries of a person, newest first. detail: also what no host is told.
CREATE FUNCTION totp_admin_1.tries(person text, at_most int) RETURNS TABLE (
  at timestamptz, host text, service text, rhost text, reason text, device text, detail text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT to_timestamp(a.at), a.host::text, a.service, a.rhost, a.reason, a.device,
      nullif(rtrim(a.detail), '')
    FROM totp.attempt a WHERE a.person = tries.person ORDER BY a.id DESC LIMIT at_most;
END $$;

-- Removes all that the person has. The person stays known as reset, also one who was unknown: so that
-- a host where this person has logged in with a code does not refuse. Whether anything changed.
CREATE FUNCTION totp_admin_1.reset(person text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms' AS $$
DECLARE
  known totp.person := totp.known_person(person);
BEGIN
  IF totp.state_of(known) = 'reset'
     AND NOT EXISTS (SELECT FROM totp.invitation i WHERE i.person = known.id) THEN
    RETURN false;
  END IF;
  DELETE FROM totp.credential c WHERE c.person = known.id;
  DELETE FROM totp.pending p WHERE p.person = known.id;
  DELETE FROM totp.recovery_code r WHERE r.person = known.id;
  DELETE FROM totp.invitation i WHERE i.person = known.id;
  UPDATE totp.person p SET reset_at = totp.clock(), in_a_row = 0, rows_ended = p.rows_ended + 1,
    last_try = 0, incorrect_recovery = 0, last_code_at = NULL WHERE p.id = known.id;
  PERFORM totp.count_enrollment();
  RETURN true;
END $$;

-- Ends the wait after incorrect codes in a row. What was tried of the budget stays counted, so that a
-- guesser gains nothing by it. Whether anything changed.
CREATE FUNCTION totp_admin_1.unlock(person text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms' AS $$
DECLARE
  known totp.person := totp.lock_person(person);
BEGIN
  IF known.id IS NULL OR (known.in_a_row = 0 AND known.incorrect_recovery = 0) THEN
    RETURN false;
  END IF;
  UPDATE totp.person p SET in_a_row = 0, rows_ended = p.rows_ended + 1, last_try = 0,
    incorrect_recovery = 0 WHERE p.id = known.id;
  RETURN true;
END $$;

-- Ten codes in place of the earlier ones. Raises P0T07 for somebody who is not enrolled.
CREATE FUNCTION totp_admin_1.new_recovery_codes(person text) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms' AS $$
DECLARE
  known totp.person := totp.lock_person(person);
BEGIN
  IF known.id IS NULL OR totp.state_of(known) <> 'enrolled' THEN
    RAISE EXCEPTION 'not enrolled: %', person USING ERRCODE = 'P0T07';
  END IF;
  RETURN totp.make_recovery_codes(known.id);
END $$;

-- One more credential of a person, or a later last step of one that is there already. Whether anything
-- changed. secret: 10 to 128 bytes; last_step: this one and all before it count as used.
CREATE FUNCTION totp_admin_1.import_credential(
  person text, secret bytea, algorithm text, digits int, period int, clock_offset int, device text,
  last_step bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  known totp.person := totp.known_person(person);
  existing totp.credential;
  how_many int := 0;
BEGIN
  IF (length(secret) BETWEEN 10 AND 128) IS NOT TRUE THEN
    RAISE EXCEPTION 'a secret must have 10 to 128 bytes' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR existing IN SELECT * FROM totp.credential c WHERE c.person = known.id LOOP
    how_many := how_many + 1;
    CONTINUE WHEN totp.unseal(existing.sealed, totp.place_of(known, existing.id),
                              existing.key_version) <> secret;
    UPDATE totp.credential c SET last_step = import_credential.last_step
    WHERE c.id = existing.id AND c.last_step < import_credential.last_step;
    RETURN FOUND;
  END LOOP;
  IF how_many >= 32 THEN
    RAISE EXCEPTION 'a person has 32 credentials at most' USING ERRCODE = 'program_limit_exceeded';
  END IF;
  INSERT INTO totp.credential OVERRIDING SYSTEM VALUE
  SELECT made.* FROM totp.new_credential(
    known, secret, algorithm, digits, period, coalesce(clock_offset, 0), device,
    coalesce(last_step, -1)) made;
  UPDATE totp.person p SET reset_at = NULL WHERE p.id = known.id;
  PERFORM totp.count_enrollment();
  RETURN true;
END $$;

-- The host's row. Its role is made by pam_totp/fleet/hosts.py, which needs a superuser.
CREATE FUNCTION totp_admin_1.add_host(name text, may_enroll boolean, burst int,
                                      seconds double precision) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO totp.host (name, joined_at, may_enroll, burst, seconds)
  VALUES (add_host.name, totp.clock(), add_host.may_enroll, add_host.burst, add_host.seconds)
  ON CONFLICT ON CONSTRAINT host_pkey DO UPDATE SET
    joined_at = excluded.joined_at, left_at = NULL, may_enroll = excluded.may_enroll,
    burst = excluded.burst, seconds = excluded.seconds,
    last_seen = NULL, clock_difference = NULL, release = NULL, servers = NULL
$$;

-- Whether anything changed. A session of the host that was not ended yet may keep its row locked.
CREATE FUNCTION totp_admin_1.remove_host(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
  UPDATE totp.host h SET left_at = totp.clock()
  WHERE h.name = remove_host.name::name AND h.left_at IS NULL;
  RETURN FOUND;
END $$;

-- tries_left: of its budget now; unrevealed: tries of the last day whose answer nobody asked for;
-- servers: that the host knows; null: it has not said so yet.
CREATE FUNCTION totp_admin_1.hosts() RETURNS TABLE (
  name text, joined_at timestamptz, left_at timestamptz, last_seen timestamptz,
  clock_difference double precision, release text, may_enroll boolean, burst int,
  seconds double precision, tries_left int, unrevealed bigint, servers text[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT h.name::text, to_timestamp(h.joined_at), to_timestamp(h.left_at),
      to_timestamp(h.last_seen), h.clock_difference, h.release, h.may_enroll,
      budget.burst, budget.seconds,
      greatest(0, budget.burst - ceil(greatest(0, h.budget_used - totp.clock())
                                      / budget.seconds))::int,
      coalesce(silent.tries, 0), string_to_array(h.servers, ',')
    FROM totp.host h
    CROSS JOIN LATERAL (
      SELECT coalesce(h.burst, s.host_burst) AS burst, coalesce(h.seconds, s.host_seconds) AS seconds
      FROM totp.setting s) budget
    LEFT JOIN (
      SELECT u.host, count(*) AS tries
      FROM totp_admin_1.unrevealed(to_timestamp(totp.clock() - 86400)) u
      GROUP BY u.host) silent ON silent.host = h.name::text
    ORDER BY h.name;
END $$;

-- Tries since then whose answer nobody asked for within ten seconds: what a stolen host looks like.
CREATE FUNCTION totp_admin_1.unrevealed(since timestamptz) RETURNS TABLE (
  at timestamptz, host text, person text, service text, rhost text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
    SELECT to_timestamp(a.at), a.host::text, a.person, a.service, a.rhost FROM totp.attempt a
    WHERE a.reason IS NULL AND a.at >= extract(epoch FROM unrevealed.since)
      AND a.at < totp.clock() - 10
    ORDER BY a.id;
END $$;

-- After a machine's snapshot was reverted, which no server can notice by itself: as in
-- totp.notice_incarnation, and hosts believe what this store says although it is older. An
-- administrator vouches for the clock of now: were it ahead when a server took over, every code
-- would be refused until that time comes.
CREATE FUNCTION totp_admin_1.restored(void_recovery_codes boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM totp.begin_incarnation();
  UPDATE totp.store SET epoch = epoch + 1, no_step_before = totp.clock() + 10;
  IF void_recovery_codes THEN DELETE FROM totp.recovery_code; END IF;
END $$;

-- Seals secrets that are sealed with another version; how many. at_most: in portions of so many, so
-- that no login waits for a row; null: all at once.
CREATE FUNCTION totp_admin_1.reseal(new_version int, at_most int DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  sealed_again bigint;
BEGIN
  PERFORM totp.use_key(new_version);
  DELETE FROM totp.pending WHERE key_version <> new_version;
  UPDATE totp.credential c SET
    sealed = totp.seal(totp.unseal(c.sealed, totp.place_of(p, c.id), c.key_version),
                       totp.place_of(p, c.id), new_version),
    key_version = new_version
  FROM totp.person p
  WHERE p.id = c.person AND c.id IN (
    SELECT old.id FROM totp.credential old WHERE old.key_version <> new_version
    ORDER BY old.id LIMIT at_most FOR NO KEY UPDATE);
  GET DIAGNOSTICS sealed_again = ROW_COUNT;
  RETURN sealed_again;
END $$;

-- Whether this server has the key file that the store was sealed with; null: no such version.
CREATE FUNCTION totp_admin_1.key_is_right(version int) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT totp.key_is_right(key_is_right.version)
$$;

-- Versions that secrets are sealed with, and how many.
CREATE FUNCTION totp_admin_1.key_versions() RETURNS TABLE (version int, secrets bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT k.version, (SELECT count(*) FROM totp.credential c WHERE c.key_version = k.version)
  FROM totp.key_check k ORDER BY k.version
$$;

-- The store's own row, for `store status`.
CREATE FUNCTION totp_admin_1.store(
  OUT id text, OUT schema_version int, OUT key_version int, OUT epoch int, OUT incarnation text,
  OUT refuses_until timestamptz, OUT clock_was_ahead boolean, OUT enrolled_count bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  store totp.store;
  setting totp.setting;
BEGIN
  SELECT * INTO store FROM totp.store;
  SELECT * INTO setting FROM totp.setting;
  id := store.id;
  schema_version := store.schema_version;
  key_version := store.key_version;
  epoch := store.epoch;
  incarnation := store.incarnation;
  clock_was_ahead := store.no_step_before > totp.clock() + 60;
  enrolled_count := totp.enrolled_count();
  IF store.no_step_before > 0 THEN  -- a phone whose clock is right gets in then
    refuses_until := to_timestamp((floor(store.no_step_before / setting.period)
                                   + setting.window_steps + 1) * setting.period);
  END IF;
END $$;

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA totp_api_1 TO totp_host;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA totp_api_1 TO totp_host;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA totp_admin_1 TO totp_admin;
SELECT totp.use_key(current_setting('totp.key_version')::int);

RESET ROLE;
