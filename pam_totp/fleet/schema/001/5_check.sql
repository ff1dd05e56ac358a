-- SPDX-License-Identifier: MIT
-- The check. Whoever calls a function can take it back: ROLLBACK, a savepoint, an error after the row
-- was sent. So no answer MUST rest on what is not committed: one transaction counts a try and fixes
-- its guess (submit), and only a later one tells whether it was right (reveal).
--
-- Each function that hosts call names its search_path, and these two:
-- lock_timeout          a host MUST NOT hang because another one keeps a row locked
-- plan_cache_mode       a plan with values in it could be printed, also by the host that calls

SET LOCAL ROLE totp_owner;

CREATE TYPE totp.verdict AS (
  accepted boolean,
  reason text,
  device text,
  credential bigint,      -- whose code it is
  step bigint,            -- and of which time step
  recovery_left int,
  hold_seconds int,       -- for so long the caller should hold the answer back
  detail text
);

-- 1 of 2. Counts the try and fixes the guess. It MUST NOT look at a secret: its answer, its time and
-- its errors are the same for a correct code and an incorrect one. A try that a crash forgets is one
-- more guess and no yes, so it commits without waiting for the disk.
CREATE FUNCTION totp_api_1.submit(person text, answer text, service text, rhost text,
                                  OUT ticket bigint, OUT refusal text, OUT wait_seconds int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  is_recovery boolean := answer ~ '^[a-z2-7]{16}$';
  known totp.person;
  setting totp.setting;
  counted record;
  credentials int;
  now double precision;
  wait double precision;
BEGIN
  IF (is_recovery OR answer ~ '^[0-9]{6,8}$') IS NOT TRUE
     OR (octet_length(person) BETWEEN 1 AND 255) IS NOT TRUE THEN
    refusal := 'bad-input';
    RETURN;
  END IF;
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM totp.notice_incarnation();
  known := totp.lock_person(person);
  SELECT * INTO setting FROM totp.setting;
  SELECT count(*) INTO credentials FROM totp.credential c WHERE c.person = known.id;
  now := totp.clock();
  wait := CASE WHEN is_recovery OR credentials = 0 THEN 0
               ELSE totp.wait_seconds(known, setting, now) END;
  IF wait > 0 THEN
    refusal := 'throttled';
    wait_seconds := ceil(wait);
    RETURN;
  END IF;
  IF NOT totp.count_try_of_host(host, setting, is_recovery, now) THEN
    refusal := 'host-throttled';
    wait_seconds := ceil(coalesce(host.seconds, setting.host_seconds));
    RETURN;
  END IF;
  SELECT * INTO counted FROM totp.count_try(known, setting, now, credentials);
  IF credentials > 0 AND NOT is_recovery THEN
    UPDATE totp.person p SET
      in_a_row = (counted.person).in_a_row, last_try = (counted.person).last_try,
      budget_used = (counted.person).budget_used
    WHERE p.id = known.id;
  END IF;
  INSERT INTO totp.attempt (at, xact, host, person, service, rhost, is_recovery, guess,
                            compared, charged, last_try_before, rows_ended)
  VALUES (now, pg_current_xact_id(), host.name, submit.person,
          coalesce(left(submit.service, 64), ''), coalesce(left(submit.rhost, 255), ''),
          is_recovery,  -- as it is stored; a code with a salt, since it is a short one
          totp.digest_of(CASE WHEN is_recovery THEN answer
                              ELSE pg_current_xact_id()::text || ':' || answer END),
          counted.compared, counted.charged, known.last_try, known.rows_ended)
  RETURNING id INTO ticket;
END $$;

-- 2 of 2. Tells whether the guess of a committed submit of this host was right, and records the step
-- as used. Taken back, it can only tell the same of the same guess. A yes is on the disk, and at the
-- synchronous standbys, before the host gets it; a no need not be.
CREATE FUNCTION totp_api_1.reveal(ticket bigint, OUT accepted boolean, OUT reason text,
                                  OUT device text, OUT recovery_left int, OUT detail text,
                                  OUT wait_seconds int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  attempt totp.attempt;
  known totp.person;
  verdict totp.verdict;
  is_incorrect_code boolean;
BEGIN
  attempt := totp.committed_attempt(ticket, host);
  known := totp.lock_person(attempt.person);
  attempt := totp.committed_attempt(ticket, host);  -- as it is under the lock
  verdict := CASE WHEN attempt.is_recovery THEN totp.judge_recovery_code(attempt, known)
                  ELSE totp.judge_code(attempt, known) END;
  is_incorrect_code := NOT attempt.is_recovery AND (
    verdict.reason = 'wrong-code' OR (verdict.reason = 'clock-skew' AND verdict.step > 0));
  IF verdict.accepted THEN
    PERFORM totp.commit_durably();
  ELSE
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
  UPDATE totp.attempt a SET
    reason = verdict.reason, device = verdict.device,
    detail = CASE WHEN is_incorrect_code THEN totp.padded(verdict.detail) ELSE verdict.detail END,
    guess = NULL, compared = NULL, charged = NULL, last_try_before = NULL, rows_ended = NULL
  WHERE a.id = attempt.id;
  PERFORM totp.record_verdict(attempt, known, host, verdict);
  accepted := verdict.accepted;
  device := verdict.device;
  recovery_left := verdict.recovery_left;
  wait_seconds := verdict.hold_seconds;
  reason := verdict.reason;
  detail := coalesce(verdict.detail, '');
  -- That a guess will be correct later is for the audit. A stolen host would have twenty guesses in one.
  IF is_incorrect_code THEN
    reason := 'wrong-code';
    detail := coalesce(substring(verdict.detail FROM 'too many guesses.*'), '');
  END IF;
END $$;

-- The detail of an incorrect code, of one length whatever it says: the caller can see how many bytes
-- were written, so an incorrect code and one that will be correct later MUST make rows of one size.
CREATE FUNCTION totp.padded(detail text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT rpad(coalesce(detail, ''), 160) $$;

-- Whatever the host, the database or the server has set, but not below what the server asks for.
CREATE FUNCTION totp.commit_durably() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF current_setting('synchronous_commit') IN ('off', 'local') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
END $$;

-- The try that a ticket of this host is for. Raises P0T01 unless it is committed, is of another
-- transaction, is under ten seconds old and was not revealed yet.
CREATE FUNCTION totp.committed_attempt(ticket bigint, host totp.host) RETURNS totp.attempt
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  attempt totp.attempt;
BEGIN
  SELECT * INTO attempt FROM totp.attempt a WHERE a.id = ticket AND a.host = host.name;
  IF attempt.id IS NULL OR attempt.reason IS NOT NULL
     OR attempt.xact = pg_current_xact_id_if_assigned()
     OR attempt.at < totp.clock() - 10 THEN
    RAISE EXCEPTION 'no such ticket' USING ERRCODE = 'P0T01';
  END IF;
  RETURN attempt;
END $$;

-- otp.verdict_on, for the credentials that were counted, the one that was used last first.
CREATE FUNCTION totp.judge_code(attempt totp.attempt, person totp.person) RETURNS totp.verdict
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  setting totp.setting;
  store totp.store;
  verdict totp.verdict;
  credential totp.credential;
  current_step bigint;
  matched bigint;
BEGIN
  SELECT * INTO setting FROM totp.setting;
  SELECT * INTO store FROM totp.store;
  verdict.accepted := false;
  verdict.reason := 'not-enrolled';
  FOR credential IN
    SELECT * FROM totp.credential c WHERE c.person = person.id
    ORDER BY c.last_step DESC, c.id LIMIT attempt.compared
  LOOP
    IF verdict.reason = 'not-enrolled' THEN verdict.reason := 'wrong-code'; END IF;
    current_step := floor(attempt.at / credential.period)::bigint + credential.clock_offset;
    matched := totp.matching_step(attempt, person, credential, current_step, setting.window_steps);
    CONTINUE WHEN matched IS NULL;
    verdict.device := credential.device;
    verdict.credential := credential.id;
    verdict.step := matched;
    IF matched <= credential.last_step THEN
      verdict.reason := 'reused-code';
      verdict.detail := format('code already used (time step %s; last accepted %s, current %s)',
                               matched, credential.last_step, current_step);
    ELSIF matched <= totp.floor_step(store, setting, credential.period, credential.clock_offset) THEN
      verdict.reason := 'store-promoted';
      verdict.detail := 'the server before this one may have accepted this code; '
                        'the next code but one will be accepted';
    ELSE
      verdict.accepted := true;
      verdict.reason := 'totp';
      verdict.detail := NULL;
      RETURN verdict;
    END IF;
  END LOOP;
  IF verdict.reason = 'wrong-code' THEN
    verdict := totp.look_for_clock_skew(attempt, person, verdict);
  END IF;
  RETURN verdict;
END $$;

-- The last step around the current one whose code is the guess; null: none. It looks at each.
CREATE FUNCTION totp.matching_step(attempt totp.attempt, person totp.person,
  credential totp.credential, current_step bigint, window_steps int) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
  secret bytea := totp.unseal(credential.sealed, totp.place_of(person, credential.id),
                              credential.key_version);
  matched bigint;
BEGIN
  FOR step IN greatest(current_step - window_steps, 0) .. current_step + window_steps LOOP
    IF totp.is_guess(attempt, secret, step, credential) THEN matched := step; END IF;
  END LOOP;
  RETURN matched;
END $$;

CREATE FUNCTION totp.is_guess(attempt totp.attempt, secret bytea, step bigint,
                              credential totp.credential) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN attempt.guess = totp.digest_of(attempt.xact::text || ':' || totp.hotp(
    secret, step, credential.digits, credential.algorithm));
END $$;

-- otp.nearest_step: the verdict on an incorrect code, which is correct up to 20 steps from now if a
-- clock is wrong. `step` is how many from now. One that will be correct later MUST take as long as one
-- that never is, so nothing here ends early, and no device is named for it.
CREATE FUNCTION totp.look_for_clock_skew(attempt totp.attempt, person totp.person,
                                         verdict totp.verdict) RETURNS totp.verdict
LANGUAGE plpgsql STABLE AS $$
DECLARE
  credential totp.credential;
  total int := 0;
  away int;
  said text;
  is_first boolean;
BEGIN
  FOR credential IN
    SELECT * FROM totp.credential c WHERE c.person = person.id ORDER BY c.last_step DESC, c.id
  LOOP
    total := total + 1;
    CONTINUE WHEN total > attempt.compared;
    away := totp.steps_away(attempt, person, credential);
    said := format(CASE WHEN away > 0 THEN 'code would be correct in %s s; compare the clocks'
                        ELSE 'code would have been correct %s s ago; compare the clocks' END,
                   abs(away) * credential.period);
    is_first := away <> 0 AND verdict.reason = 'wrong-code';
    verdict.reason := CASE WHEN is_first THEN 'clock-skew' ELSE verdict.reason END;
    verdict.step := CASE WHEN is_first THEN away ELSE verdict.step END;
    verdict.detail := CASE WHEN is_first THEN said ELSE verdict.detail END;
    verdict.device := CASE WHEN is_first AND away < 0 THEN credential.device
                           ELSE verdict.device END;
  END LOOP;
  IF attempt.compared < total THEN
    verdict.detail := concat_ws('; ', verdict.detail, format(
      'too many guesses, so %s of %s comparisons were made', attempt.compared, total));
  END IF;
  RETURN verdict;
END $$;

-- How many steps from now the guess is correct, the nearest within reach; 0: none. It looks at each.
CREATE FUNCTION totp.steps_away(attempt totp.attempt, person totp.person,
                                credential totp.credential) RETURNS int
LANGUAGE plpgsql STABLE AS $$
DECLARE
  skew_steps CONSTANT int := 20;  -- otp.SKEW_STEPS
  secret bytea := totp.unseal(credential.sealed, totp.place_of(person, credential.id),
                              credential.key_version);
  current_step bigint := floor(attempt.at / credential.period)::bigint + credential.clock_offset;
  nearest int := 0;
BEGIN
  FOR distance IN REVERSE skew_steps .. 1 LOOP
    IF totp.is_guess(attempt, secret, current_step + distance, credential) THEN
      nearest := distance;
    END IF;
    IF totp.is_guess(attempt, secret, greatest(current_step - distance, 0), credential)
       AND current_step >= distance THEN
      nearest := -distance;
    END IF;
  END LOOP;
  RETURN nearest;
END $$;

-- A correct recovery code never waits. That incorrect ones in a row are answered ever later is for the
-- caller: here a wait would keep a row locked (login/check_recovery_code.py).
CREATE FUNCTION totp.judge_recovery_code(attempt totp.attempt, person totp.person)
RETURNS totp.verdict
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  verdict totp.verdict;
BEGIN
  verdict.accepted := false;
  verdict.reason := 'wrong-code';
  IF NOT EXISTS (SELECT FROM totp.credential c WHERE c.person = person.id) THEN
    verdict.reason := 'not-enrolled';
    RETURN verdict;
  END IF;
  UPDATE totp.recovery_code r SET used_at = attempt.at
  WHERE r.person = person.id AND r.digest = attempt.guess AND r.used_at IS NULL;
  IF FOUND THEN
    verdict.accepted := true;
    verdict.reason := 'recovery-code';
    verdict.recovery_left := totp.recovery_left(person.id);
  ELSIF EXISTS (SELECT FROM totp.recovery_code r
                WHERE r.person = person.id AND r.digest = attempt.guess) THEN
    verdict.reason := 'reused-code';
    verdict.detail := 'recovery code already used';
  ELSIF NOT EXISTS (SELECT FROM totp.recovery_code r WHERE r.person = person.id) THEN
    verdict.detail := 'no recovery codes';
  ELSE
    verdict.detail := format('unknown recovery code: %s in a row', person.incorrect_recovery + 1);
    verdict.hold_seconds := greatest(0, least(person.incorrect_recovery + 1 - 5, 8));
  END IF;
  RETURN verdict;
END $$;

CREATE FUNCTION totp.recovery_left(person bigint) RETURNS int
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT count(*) FROM totp.recovery_code r
          WHERE r.person = recovery_left.person AND r.used_at IS NULL);
END $$;

-- What a verdict changes. A try that was accepted, or that only somebody with the secret can have
-- made, is taken back from the person. From the host, each that no wait of a person limits: anybody
-- with an account there could go on for ever, and keep all others from logging in.
CREATE FUNCTION totp.record_verdict(attempt totp.attempt, person totp.person, host totp.host,
                                    verdict totp.verdict) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  charged double precision := CASE WHEN attempt.is_recovery THEN 0 ELSE attempt.charged END;
BEGIN
  IF verdict.accepted THEN
    UPDATE totp.credential SET last_step = verdict.step WHERE id = verdict.credential;
    UPDATE totp.person p SET in_a_row = 0, rows_ended = p.rows_ended + 1, last_try = 0,
      incorrect_recovery = 0, budget_used = p.budget_used - charged, last_code_at = attempt.at
    WHERE p.id = person.id;
  ELSIF verdict.reason IN ('reused-code', 'store-promoted') AND NOT attempt.is_recovery THEN
    PERFORM totp.take_try_back(attempt, person);
  ELSIF attempt.is_recovery AND verdict.reason = 'wrong-code' THEN
    UPDATE totp.person p SET incorrect_recovery = least(p.incorrect_recovery + 1, 1000000)
    WHERE p.id = person.id;
  END IF;
  IF verdict.accepted THEN
    PERFORM totp.give_try_back(attempt, host);
  ELSIF attempt.is_recovery OR verdict.reason IN ('reused-code', 'store-promoted', 'not-enrolled') THEN
    PERFORM totp.give_try_back(attempt, host);
    PERFORM totp.keep_few_rows(attempt, host);
  END IF;
END $$;

-- Takes one try back from the person, and no other: one that was counted after a row of incorrect codes
-- had ended belongs to the next row.
CREATE FUNCTION totp.take_try_back(attempt totp.attempt, person totp.person) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  is_same_row boolean := person.rows_ended = attempt.rows_ended;
BEGIN
  UPDATE totp.person p SET
    in_a_row = CASE WHEN is_same_row THEN greatest(p.in_a_row - 1, 0) ELSE p.in_a_row END,
    last_try = CASE WHEN is_same_row AND p.last_try = attempt.at THEN attempt.last_try_before
                    ELSE p.last_try END,
    budget_used = p.budget_used - totp.refund(attempt.charged, attempt.at, totp.clock())
  WHERE p.id = person.id;
END $$;

CREATE FUNCTION totp.give_try_back(attempt totp.attempt, host totp.host) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE totp.host h SET
    budget_used = h.budget_used - CASE WHEN attempt.is_recovery THEN 0 ELSE each.seconds END,
    recovery_used = h.recovery_used - CASE WHEN attempt.is_recovery THEN each.seconds ELSE 0 END
  FROM (SELECT totp.refund(coalesce(host.seconds, s.host_seconds), attempt.at, totp.clock())
               AS seconds
        FROM totp.setting s) each
  WHERE h.name = host.name;
END $$;

-- A try that was given back has a row in the audit only as often as the host may have tries: else
-- somebody with a used code could fill the disk.
CREATE FUNCTION totp.keep_few_rows(attempt totp.attempt, host totp.host) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF NOT totp.count_row_of_host(host, attempt.at) THEN
    DELETE FROM totp.attempt a WHERE a.id = attempt.id;
  END IF;
END $$;

-- Both in one round trip. It has no rights of its own, so a host that avoids it gains nothing.
-- counted: the ticket of count_sent for this very answer, whose try this one takes the place of.
-- wait_seconds: with `throttled` until the next try is compared; with an incorrect recovery code how
-- long the answer should be held back.
CREATE PROCEDURE totp_api_1.check(
  IN person text, IN answer text, IN service text, IN rhost text,
  INOUT accepted boolean DEFAULT NULL, INOUT reason text DEFAULT NULL,
  INOUT device text DEFAULT NULL, INOUT wait_seconds int DEFAULT NULL,
  INOUT recovery_left int DEFAULT NULL, INOUT detail text DEFAULT NULL,
  IN counted bigint DEFAULT NULL)
LANGUAGE plpgsql SECURITY INVOKER AS $$
DECLARE
  ticket bigint;
BEGIN
  IF counted IS NULL THEN
    SELECT s.ticket, s.refusal, s.wait_seconds INTO ticket, reason, wait_seconds
    FROM totp_api_1.submit(person, answer, service, rhost) s;
  ELSE
    SELECT s.ticket, s.refusal, s.wait_seconds INTO ticket, reason, wait_seconds
    FROM totp_api_1.submit_counted(counted, person, answer, service, rhost) s;
  END IF;
  COMMIT;
  accepted := false;
  IF ticket IS NULL THEN
    detail := coalesce(wait_seconds || ' s to wait', '');
    RETURN;
  END IF;
  SELECT r.accepted, r.reason, r.device, r.wait_seconds, r.recovery_left, r.detail
  INTO accepted, reason, device, wait_seconds, recovery_left, detail
  FROM totp_api_1.reveal(ticket) r;
END $$;

-- What a host tells of itself and learns of the store, on a new connection and now and then. servers:
-- those that it knows, at most eight; what is not such a list is kept as null.
CREATE FUNCTION totp_api_1.hello(
  host_clock double precision, release text, servers text DEFAULT NULL, OUT store text, OUT schema_version int, OUT epoch int,
  OUT incarnation text, OUT enrolled_count bigint, OUT enrolled_before bigint,
  OUT database_clock double precision, OUT may_enroll boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  a_century CONSTANT double precision := 3155760000;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM totp.notice_incarnation();
  PERFORM totp.end_stalled_hosts();
  PERFORM totp.forget_what_is_old();
  database_clock := totp.clock();
  may_enroll := host.may_enroll;
  UPDATE totp.host h SET
    last_seen = database_clock,
    clock_difference = greatest(-a_century, least(a_century, host_clock - database_clock)),
    release = regexp_replace(left(hello.release, 64), '[^ -~]', '?', 'g'),
    servers = substring(lower(hello.servers)
                        FROM '^[a-z0-9._:%-]{1,255}(?:,[a-z0-9._:%-]{1,255}){0,7}$')
  WHERE h.name = host.name;
  SELECT s.id, s.schema_version, s.epoch, s.incarnation || '/' || s.began, totp.enrolled_count(),
         s.enrolled_before
  INTO store, schema_version, epoch, incarnation, enrolled_count, enrolled_before
  FROM totp.store s;
END $$;

-- In small portions, so that no host waits for it.
CREATE FUNCTION totp.forget_what_is_old() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  now double precision := totp.clock();
  people bigint[];
BEGIN
  WITH gone AS (
    DELETE FROM totp.attempt WHERE id IN (
      SELECT old.id FROM totp.attempt old
      WHERE old.id IN (SELECT oldest.id FROM totp.attempt oldest ORDER BY oldest.id LIMIT 500)
        AND old.at < now - 86400 * (SELECT s.audit_days FROM totp.setting s)
      FOR UPDATE SKIP LOCKED)
    RETURNING person, is_sent)
  SELECT array_agg(p.id) INTO people FROM totp.person p
  WHERE p.name IN (SELECT g.person FROM gone g WHERE g.is_sent);
  IF people IS NOT NULL THEN PERFORM totp.forget_nobodies(people); END IF;
  WITH gone AS (
    DELETE FROM totp.pending WHERE id IN (
      SELECT p.id FROM totp.pending p WHERE p.at < now - 3600 AND totp.owes_nothing(p.person)
      LIMIT 100 FOR UPDATE SKIP LOCKED)
    RETURNING person),
  over AS (
    DELETE FROM totp.invitation WHERE person IN (
      SELECT i.person FROM totp.invitation i
      WHERE i.expires_at < now - 86400 AND totp.owes_nothing(i.person)
      LIMIT 100 FOR UPDATE SKIP LOCKED)
    RETURNING person)
  SELECT array_agg(each.person) INTO people FROM (TABLE gone UNION TABLE over) each;
  IF people IS NOT NULL THEN PERFORM totp.forget_nobodies(people); END IF;
END $$;

CREATE FUNCTION totp.state_of(person totp.person) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN CASE WHEN EXISTS (SELECT FROM totp.credential c WHERE c.person = person.id)
              THEN 'enrolled'
              WHEN person.reset_at IS NOT NULL THEN 'reset' ELSE 'not-enrolled' END;
END $$;

CREATE FUNCTION totp.whole_wait(person totp.person) RETURNS int
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF person.id IS NULL THEN RETURN 0; END IF;  -- whom the store does not know
  RETURN (SELECT ceil(totp.wait_seconds(person, s, totp.clock())) FROM totp.setting s);
END $$;

-- For the gate. It takes no lock and writes nothing.
CREATE FUNCTION totp_api_1.standing(person text, OUT state text, OUT wait_seconds int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  known totp.person;
BEGIN
  SELECT * INTO known FROM totp.person p WHERE p.name = standing.person;
  state := totp.state_of(known);
  wait_seconds := totp.whole_wait(known);
END $$;

-- The same of many people, in the order of the names, at most a thousand.
CREATE FUNCTION totp_api_1.standings(persons text[])
RETURNS TABLE (person text, state text, wait_seconds int, devices int, recovery_left int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
BEGIN
  IF cardinality(persons) > 1000 THEN
    RAISE EXCEPTION 'more than 1000 names' USING ERRCODE = 'program_limit_exceeded';
  END IF;
  RETURN QUERY
    SELECT asked.name, totp.state_of(p),
      totp.whole_wait(p),
      (SELECT count(*)::int FROM totp.credential c WHERE c.person = p.id),
      totp.recovery_left(p.id)
    FROM unnest(persons) WITH ORDINALITY asked (name, place)
    LEFT JOIN totp.person p ON p.name = asked.name
    ORDER BY asked.place;
END $$;

RESET ROLE;
