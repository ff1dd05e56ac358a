-- SPDX-License-Identifier: MIT
-- rules/otp.py and rules/throttle.py in SQL, and what the functions for hosts share.

-- Ends the sessions of hosts that are in the same transaction for over two seconds: no agent's ever
-- is, so they are somebody's who keeps a person's row locked. A commit that waits for a synchronous
-- standby is spared: the hosts that wait there mean well. The system's clock judges the system.
GRANT USAGE, CREATE ON SCHEMA totp TO totp_watch;
SET LOCAL ROLE totp_watch;
CREATE FUNCTION totp.end_stalled_hosts() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(pg_terminate_backend(session.pid))
  FROM pg_stat_get_activity(NULL) session
  WHERE session.xact_start < clock_timestamp() - interval '2 seconds'
    AND session.pid <> pg_backend_pid()
    AND session.wait_event IS DISTINCT FROM 'SyncRep'
    AND session.usesysid IN (SELECT member FROM pg_auth_members
                             WHERE roleid = 'totp_host'::regrole)
$$;
GRANT EXECUTE ON FUNCTION totp.end_stalled_hosts() TO totp_owner;
RESET ROLE;
REVOKE USAGE, CREATE ON SCHEMA totp FROM totp_watch;

SET LOCAL ROLE totp_owner;

-- Which database on which server and timeline this is. A promoted standby and a recovery to a point
-- in time begin a timeline; a restored dump makes tables, and mostly a database, of other numbers.
CREATE FUNCTION totp.incarnation() RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN concat_ws('/', (pg_control_system()).system_identifier,
                   left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
                   -- The database's number: the folder of its files.
                   split_part(pg_relation_filepath('pg_catalog.pg_class'), '/', -2),
                   'totp.attempt'::regclass::oid);
END $$;

INSERT INTO totp.setting DEFAULT VALUES;
-- 32 hex digits.
CREATE FUNCTION totp.new_id() RETURNS text
LANGUAGE sql VOLATILE AS $$ SELECT encode(totp_crypto.gen_random_bytes(16), 'hex') $$;

INSERT INTO totp.store (id, schema_version, incarnation, began)
VALUES (totp.new_id(), 1, totp.incarnation(), totp.new_id());

-- A new incarnation may have forgotten what the server before it accepted last. So it accepts no step
-- that the one before could have accepted, by a clock up to ten seconds ahead of ours. It takes
-- everybody 40 to 70 seconds, once. Nobody waits here for another host that is noticing the same:
-- until that is committed, every step is refused (totp.floor_step).
CREATE FUNCTION totp.notice_incarnation() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  actual text := totp.incarnation();
BEGIN
  IF (SELECT incarnation FROM totp.store) = actual THEN RETURN; END IF;
  PERFORM FROM totp.store FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    PERFORM totp.end_stalled_hosts();
    RETURN;
  END IF;
  IF (SELECT incarnation FROM totp.store) <> actual THEN  -- as it is under the lock
    PERFORM totp.begin_incarnation();
  END IF;
END $$;

-- All enrollments and resets. By this count a host knows that the store is not older than one that it
-- has seen.
CREATE FUNCTION totp.enrolled_count() RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT coalesce(sum(how_many), 0) FROM totp.enrolled);
END $$;

CREATE FUNCTION totp.begin_incarnation() RETURNS void
LANGUAGE sql VOLATILE AS $$
  UPDATE totp.store SET
    incarnation = totp.incarnation(), began = totp.new_id(), enrolled_before = totp.enrolled_count(),
    no_step_before = greatest(no_step_before, totp.clock() + 10)
$$;

-- The last step that the server before this one may have accepted of a credential; null: there was
-- none before.
CREATE FUNCTION totp.floor_step(store totp.store, setting totp.setting, period int, clock_offset int)
RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF store.incarnation <> totp.incarnation() THEN RETURN 9223372036854775807; END IF;
  IF store.no_step_before = 0 THEN RETURN NULL; END IF;
  RETURN floor(store.no_step_before / period)::bigint + clock_offset + setting.window_steps;
END $$;

-- RFC 4226, section 5.3.
CREATE FUNCTION totp.hotp(secret bytea, step bigint, digits int, algorithm text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
  mac bytea := totp_crypto.hmac(int8send(step), secret, algorithm);
  place int := get_byte(mac, length(mac) - 1) & 15;
  truncated int := ((get_byte(mac, place) & 127) << 24) | (get_byte(mac, place + 1) << 16)
                   | (get_byte(mac, place + 2) << 8) | get_byte(mac, place + 3);
BEGIN
  RETURN lpad((truncated % (CASE digits WHEN 6 THEN 1000000 WHEN 7 THEN 10000000
                                        ELSE 100000000 END))::text, digits, '0');
END $$;

-- Whether the record lies in the future: the clock was set back, or another server's was ahead.
CREATE FUNCTION totp.is_ahead(person totp.person, setting totp.setting, now double precision)
RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT person.last_try > now + 60
    OR person.budget_used > now + 60 + (setting.budget_tries + 2) * setting.longest_wait
$$;

-- The seconds to wait after so many incorrect codes in a row.
CREATE FUNCTION totp.wait_after(in_a_row int, setting totp.setting) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN in_a_row < setting.free_tries THEN 0
              ELSE least(setting.first_wait * 2 ^ least(in_a_row - setting.free_tries, 30),
                         setting.longest_wait) END
$$;

-- Seconds until the next try of a person is compared; 0 if it is now (throttle.wait_seconds).
CREATE FUNCTION totp.wait_seconds(person totp.person, setting totp.setting, now double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN totp.is_ahead(person, setting, now) THEN 0
              ELSE greatest(0, least(setting.longest_wait, greatest(
                person.last_try + totp.wait_after(person.in_a_row, setting) - now,
                person.budget_used - setting.budget_tries * setting.longest_wait - now))) END
$$;

-- The person once the next try is counted, before it is compared; with how many of `credentials` it
-- is, and what that costs of the budget (throttle.count_try). With each it is one guess. Where the
-- record lies in the future, the budget counts as used, but for the next try: a clock that was set
-- back gives nobody guesses, and keeps nobody waiting for longer than longest_wait.
CREATE FUNCTION totp.count_try(
  INOUT person totp.person, setting totp.setting, now double precision, credentials int,
  OUT compared int, OUT charged double precision)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  used_up double precision := now + setting.budget_tries * setting.longest_wait;
  before double precision;
BEGIN
  IF totp.is_ahead(person, setting, now) THEN
    person.in_a_row := 0;
    person.budget_used := used_up;
  END IF;
  compared := least(credentials, 1 + greatest(
    0, floor((used_up - person.budget_used) / setting.longest_wait)::int));
  before := greatest(person.budget_used, now);
  person.budget_used := greatest(before, least(before + compared * setting.longest_wait,
                                               used_up + 2 * setting.longest_wait));
  charged := person.budget_used - before;
  person.in_a_row := person.in_a_row + 1;
  person.last_try := now;
END $$;

-- What is given back of so much that was counted `at` a time. It went down by itself since then: were
-- all of it given back later, that much of what was counted meanwhile would not count.
CREATE FUNCTION totp.refund(charged double precision, at double precision, now double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$ SELECT greatest(0, charged - greatest(0, now - at)) $$;

-- The person's row, locked until the end of the transaction; a row of nulls if there is none. Whoever
-- keeps it locked from us for too long is ended, and we try once more.
CREATE FUNCTION totp.lock_person(person_name text) RETURNS totp.person
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked totp.person;
BEGIN
  SELECT * INTO locked FROM totp.person WHERE name = person_name FOR NO KEY UPDATE SKIP LOCKED;
  IF FOUND OR NOT EXISTS (SELECT FROM totp.person WHERE name = person_name) THEN
    RETURN locked;
  END IF;
  BEGIN  -- a subtransaction, which only those pay for who have to wait
    SELECT * INTO locked FROM totp.person WHERE name = person_name FOR NO KEY UPDATE;
  EXCEPTION WHEN lock_not_available THEN
    PERFORM totp.end_stalled_hosts();
    SELECT * INTO locked FROM totp.person WHERE name = person_name FOR NO KEY UPDATE;
  END;
  RETURN locked;
END $$;

-- The host that calls, which it cannot lie about. No answer may rest on an old picture of the store:
-- under another isolation level each statement would see one.
CREATE FUNCTION totp.calling_host() RETURNS totp.host
LANGUAGE plpgsql STABLE AS $$
DECLARE
  host totp.host;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'only in a transaction with isolation level read committed'
      USING ERRCODE = 'invalid_transaction_state';
  END IF;
  SELECT * INTO host FROM totp.host h WHERE h.name = session_user AND h.left_at IS NULL;
  IF host.name IS NULL THEN
    RAISE EXCEPTION 'host unknown or removed: %', session_user USING ERRCODE = 'P0T04';
  END IF;
  RETURN host;
END $$;

-- Until when the budget of a host is used, once a try is counted; null if it has none left. One whose
-- time lies far ahead, because a clock was set back, counts as used, but for this try.
CREATE FUNCTION totp.count_host_try(used double precision, now double precision,
                                    burst int, seconds double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN used > now + burst * seconds + 60 THEN now + burst * seconds
              WHEN used <= now + (burst - 1) * seconds THEN greatest(used, now) + seconds END
$$;

-- Counts a try of the calling host, for good; false if it has none left. A stolen host can neither
-- guess everywhere nor keep everybody waiting. Recovery codes count apart, so that one person who
-- types them at random, and whom no wait stops, does not use up what the others need.
CREATE FUNCTION totp.count_try_of_host(host totp.host, setting totp.setting, is_recovery boolean,
                                       now double precision) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  at_once int := coalesce(host.burst, setting.host_burst);
  each double precision := coalesce(host.seconds, setting.host_seconds);
BEGIN
  IF is_recovery THEN
    UPDATE totp.host h SET recovery_used = totp.count_host_try(h.recovery_used, now, at_once, each)
    WHERE h.name = host.name
      AND totp.count_host_try(h.recovery_used, now, at_once, each) IS NOT NULL;
  ELSE
    UPDATE totp.host h SET budget_used = totp.count_host_try(h.budget_used, now, at_once, each)
    WHERE h.name = host.name
      AND totp.count_host_try(h.budget_used, now, at_once, each) IS NOT NULL;
  END IF;
  RETURN FOUND;
END $$;

-- Counts something else that the calling host has the store write, which costs no try; false if it
-- has had as many of these as it may have tries.
CREATE FUNCTION totp.count_row_of_host(host totp.host, now double precision) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  at_once int := coalesce(host.burst, (SELECT s.host_burst FROM totp.setting s));
  each double precision := coalesce(host.seconds, (SELECT s.host_seconds FROM totp.setting s));
BEGIN
  UPDATE totp.host h SET rows_used = totp.count_host_try(h.rows_used, now, at_once, each)
  WHERE h.name = host.name AND totp.count_host_try(h.rows_used, now, at_once, each) IS NOT NULL;
  RETURN FOUND;
END $$;

-- 16 characters of base32 (RFC 4648, lower case) for 80 random bits.
CREATE FUNCTION totp.new_code() RETURNS text
LANGUAGE sql VOLATILE AS $$
  SELECT string_agg(
    substr('abcdefghijklmnopqrstuvwxyz234567',
           substring(random.bits FROM 5 * place + 1 FOR 5)::bit(5)::int + 1, 1), '' ORDER BY place)
  FROM (SELECT ('x' || encode(totp_crypto.gen_random_bytes(10), 'hex'))::bit(80) AS bits) random,
       generate_series(0, 15) place
$$;

-- What is kept of a code, of whatever kind: 128 bits of SHA-256, since a code has 80 at most.
CREATE FUNCTION totp.digest_of(code text) RETURNS bytea
LANGUAGE sql STABLE STRICT AS $$ SELECT substr(sha256(convert_to(code, 'UTF8')), 1, 16) $$;

RESET ROLE;
