-- SPDX-License-Identifier: MIT
-- Enrolling from a host. The secret is made here and comes back as a result, since results are in no
-- log. An invitation of an administrator is needed: by a code alone, a stolen host would turn one code
-- that is typed at it into a phone of its own.

SET LOCAL ROLE totp_owner;

-- Raises P0T02 unless it is this person's, and not over.
CREATE FUNCTION totp.require_invitation(person totp.person, invitation text) RETURNS bytea
LANGUAGE plpgsql STABLE AS $$
BEGIN
  PERFORM FROM totp.invitation i
  WHERE i.person = person.id AND i.digest = totp.digest_of(invitation)
    AND i.expires_at > totp.clock();
  IF NOT FOUND THEN
    RAISE EXCEPTION 'no such invitation' USING ERRCODE = 'P0T02';
  END IF;
  RETURN totp.digest_of(invitation);
END $$;

-- Raises P0T03 unless the host may enroll people without an invitation, and this person has nothing
-- that could be replaced.
CREATE FUNCTION totp.require_enrolling_at_login(person totp.person, host totp.host) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF NOT host.may_enroll THEN
    RAISE EXCEPTION 'this host may not enroll people without an invitation'
      USING ERRCODE = 'P0T03';
  END IF;
  IF totp.state_of(person) = 'enrolled' THEN
    RAISE EXCEPTION 'already enrolled; another phone needs an invitation' USING ERRCODE = 'P0T03';
  END IF;
END $$;

CREATE FUNCTION totp_api_1.enroll_begin(
  person text, invitation text, device text,
  OUT secret bytea, OUT algorithm text, OUT digits int, OUT period int, OUT replaces boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  setting totp.setting;
  known totp.person;
  proof bytea;
BEGIN
  SELECT * INTO setting FROM totp.setting;
  known := totp.lock_person(person);
  IF invitation <> '' THEN
    proof := totp.require_invitation(known, invitation);
    DELETE FROM totp.pending p WHERE p.person = known.id AND p.invitation IS NOT NULL;
  ELSE
    PERFORM totp.require_enrolling_at_login(known, host);
    -- No try: a user who begins again and again must not use up what logins need.
    IF NOT totp.count_row_of_host(host, totp.clock()) THEN
      RAISE EXCEPTION 'this host has used up its tries' USING ERRCODE = 'P0T06';
    END IF;
    known := totp.known_person(person);
    PERFORM totp.keep_newest_pending(known.id, host.name, 7);
  END IF;
  secret := totp_crypto.gen_random_bytes(
    CASE setting.algorithm WHEN 'sha1' THEN 20 WHEN 'sha256' THEN 32 ELSE 64 END);
  algorithm := setting.algorithm;
  digits := setting.digits;
  period := setting.period;
  replaces := totp.state_of(known) = 'enrolled';
  PERFORM totp.keep_pending(known, host.name, proof, secret, setting, device);
END $$;

-- The person of this name, locked, who may be unknown until now.
CREATE FUNCTION totp.known_person(person_name text) RETURNS totp.person
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF (octet_length(person_name) BETWEEN 1 AND 255) IS NOT TRUE THEN
    RAISE EXCEPTION 'not a name: must be of 1 to 255 bytes'
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  BEGIN
    INSERT INTO totp.person (name) VALUES (person_name) ON CONFLICT (name) DO NOTHING;
  EXCEPTION WHEN lock_not_available THEN  -- as in totp.lock_person: somebody else's new row
    PERFORM totp.end_stalled_hosts();
    INSERT INTO totp.person (name) VALUES (person_name) ON CONFLICT (name) DO NOTHING;
  END;
  RETURN totp.lock_person(person_name);
END $$;

-- Whether no try of a person counts against the budget any more.
CREATE FUNCTION totp.owes_nothing(person bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM totp.person p
                 WHERE p.id = owes_nothing.person AND p.budget_used <= totp.clock());
END $$;

-- Whether nothing is known of a person but the name, and perhaps tries.
CREATE FUNCTION totp.is_nobody(person totp.person) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN person.reset_at IS NULL AND person.last_code_at IS NULL
    AND NOT EXISTS (SELECT FROM totp.credential c WHERE c.person = person.id)
    AND NOT EXISTS (SELECT FROM totp.invitation i WHERE i.person = person.id)
    AND NOT EXISTS (SELECT FROM totp.pending s WHERE s.person = person.id);
END $$;

-- Forgets, of these people, names of which nothing is known but that: they were invited, mistyped
-- perhaps, shown a secret, or sent a code, and never enrolled. What somebody has tried is not forgotten
-- while it counts. In two steps: what is not yet there when a row is locked may be there when it is
-- deleted.
CREATE FUNCTION totp.forget_nobodies(people bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  locked bigint[] := ARRAY(SELECT p.id FROM totp.person p WHERE p.id = ANY (people)
                        FOR UPDATE SKIP LOCKED);
BEGIN
  DELETE FROM totp.person p
  WHERE p.id = ANY (locked) AND totp.is_nobody(p) AND p.budget_used <= totp.clock();
END $$;

-- Of those that were shown at logins at this host, which may go on side by side.
CREATE FUNCTION totp.keep_newest_pending(person bigint, host name, how_many int) RETURNS void
LANGUAGE sql VOLATILE AS $$
  DELETE FROM totp.pending WHERE id IN (
    SELECT p.id FROM totp.pending p
    WHERE p.person = keep_newest_pending.person AND p.host = keep_newest_pending.host
      AND p.invitation IS NULL
    ORDER BY p.id DESC OFFSET how_many)
$$;

CREATE FUNCTION totp.keep_pending(person totp.person, host name, proof bytea, secret bytea,
                                  setting totp.setting, device text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  version int := (SELECT s.key_version FROM totp.store s);
  new_id bigint := nextval('totp.pending_id_seq');
BEGIN
  INSERT INTO totp.pending (id, person, host, invitation, sealed, key_version, algorithm, digits,
                            period, device, at)
  OVERRIDING SYSTEM VALUE
  VALUES (new_id, person.id, host, proof,
          totp.seal(secret, totp.place_of_pending(person, new_id), version), version,
          setting.algorithm, setting.digits, setting.period, totp.device_name(device),
          totp.clock());
END $$;

CREATE FUNCTION totp.device_name(device text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(nullif(left(device, 64), ''), 'phone') $$;

-- A code proves that the phone has the secret. Then the earlier phones and recovery codes are out, and
-- the code is used: for the whole fleet, like any other.
CREATE FUNCTION totp_api_1.enroll_confirm(
  person text, invitation text, answer text,
  OUT confirmed boolean, OUT reason text, OUT recovery_codes text[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  known totp.person := totp.lock_person(person);
  proof bytea;
  proved totp.credential;
BEGIN
  confirmed := false;
  IF invitation <> '' THEN
    proof := totp.require_invitation(known, invitation);
  ELSE
    PERFORM totp.require_enrolling_at_login(known, host);
  END IF;
  IF (answer ~ '^[0-9]{6,8}$') IS NOT TRUE THEN
    reason := 'bad-input';
    RETURN;
  END IF;
  reason := totp.refusal_of_proof(known, host, proof);
  IF reason IS NOT NULL THEN RETURN; END IF;
  proved := totp.proved(known, host, proof, answer);
  IF proved.id IS NULL THEN
    reason := 'wrong-code';
    RETURN;
  END IF;
  PERFORM totp.commit_durably();
  PERFORM totp.enroll(known, proved);
  recovery_codes := totp.make_recovery_codes(known.id);
  confirmed := true;
  reason := 'totp';
END $$;

-- Why a proving code is not compared; null if it is. Without an invitation it is a guess like any at a
-- login, and counted: as many guesses as there are secrets.
CREATE FUNCTION totp.refusal_of_proof(person totp.person, host totp.host, proof bytea) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  setting totp.setting;
  counted record;
  now double precision := totp.clock();
  secrets int := (SELECT count(*) FROM totp.pending p WHERE p.person = person.id
                  AND p.host = host.name AND p.invitation IS NOT DISTINCT FROM proof
                  AND p.at > now - 600);
BEGIN
  IF secrets = 0 THEN RETURN 'not-enrolled'; END IF;
  IF proof IS NOT NULL THEN RETURN NULL; END IF;
  SELECT * INTO setting FROM totp.setting;
  IF totp.wait_seconds(person, setting, now) > 0 THEN RETURN 'throttled'; END IF;
  SELECT * INTO counted FROM totp.count_try(person, setting, now, secrets);
  IF counted.compared < secrets THEN RETURN 'throttled'; END IF;  -- without end: it costs no try
  IF NOT totp.count_try_of_host(host, setting, false, now) THEN RETURN 'host-throttled'; END IF;
  UPDATE totp.person p SET
    in_a_row = (counted.person).in_a_row, last_try = (counted.person).last_try,
    budget_used = (counted.person).budget_used
  WHERE p.id = person.id;
  RETURN NULL;
END $$;

-- The pending secret that a code belongs to, as a credential that is sealed in its place, the step of
-- the code used. All nulls if there is none.
CREATE FUNCTION totp.proved(person totp.person, host totp.host, proof bytea, answer text)
RETURNS totp.credential
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  setting totp.setting;
  pending totp.pending;
  secret bytea;
  current_step bigint;
  credential totp.credential;
BEGIN
  SELECT * INTO setting FROM totp.setting;
  FOR pending IN
    SELECT * FROM totp.pending p WHERE p.person = person.id AND p.host = host.name
      AND p.invitation IS NOT DISTINCT FROM proof AND p.at > totp.clock() - 600 ORDER BY p.id
  LOOP
    secret := totp.unseal(pending.sealed, totp.place_of_pending(person, pending.id),
                          pending.key_version);
    current_step := floor(totp.clock() / pending.period)::bigint;
    FOR step IN greatest(current_step - setting.window_steps, 0)
                .. current_step + setting.window_steps LOOP
      CONTINUE WHEN totp.hotp(secret, step, pending.digits, pending.algorithm) <> answer;
      credential := totp.new_credential(
        person, secret, pending.algorithm, pending.digits, pending.period, 0, pending.device, step);
    END LOOP;
  END LOOP;
  RETURN credential;
END $$;

-- A credential of a secret, sealed for its row; not stored yet.
CREATE FUNCTION totp.new_credential(
  person totp.person, secret bytea, algorithm text, digits int, period int, clock_offset int,
  device text, last_step bigint) RETURNS totp.credential
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  credential totp.credential;
BEGIN
  credential.id := nextval('totp.credential_id_seq');
  credential.person := person.id;
  SELECT s.key_version INTO credential.key_version FROM totp.store s;
  credential.sealed := totp.seal(secret, totp.place_of(person, credential.id),
                                 credential.key_version);
  credential.algorithm := algorithm;
  credential.digits := digits;
  credential.period := period;
  credential.clock_offset := clock_offset;
  credential.device := totp.device_name(device);
  credential.last_step := last_step;
  credential.since := totp.clock();
  RETURN credential;
END $$;

-- In place of all credentials that the person has.
CREATE FUNCTION totp.enroll(person totp.person, credential totp.credential) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  DELETE FROM totp.credential c WHERE c.person = person.id;
  DELETE FROM totp.pending p WHERE p.person = person.id;
  DELETE FROM totp.invitation i WHERE i.person = person.id;
  INSERT INTO totp.credential OVERRIDING SYSTEM VALUE SELECT credential.*;
  UPDATE totp.person p SET reset_at = NULL, in_a_row = 0, last_try = 0, incorrect_recovery = 0,
    rows_ended = p.rows_ended + 1, budget_used = least(p.budget_used, person.budget_used),
    last_code_at = credential.since
  WHERE p.id = person.id;
  PERFORM totp.count_enrollment();
END $$;

CREATE FUNCTION totp.count_enrollment() RETURNS void
LANGUAGE sql VOLATILE AS $$
  INSERT INTO totp.enrolled AS e (by_role, how_many) VALUES (session_user, 1)
  ON CONFLICT (by_role) DO UPDATE SET how_many = e.how_many + 1
$$;

-- Ten new ones in place of those that there are.
CREATE FUNCTION totp.make_recovery_codes(person bigint) RETURNS text[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  codes text[] := '{}';
BEGIN
  DELETE FROM totp.recovery_code r WHERE r.person = make_recovery_codes.person;
  FOR place IN 1 .. 10 LOOP
    codes := codes || totp.new_code();
    INSERT INTO totp.recovery_code (person, digest)
    VALUES (make_recovery_codes.person, totp.digest_of(codes[place]));
  END LOOP;
  RETURN codes;
END $$;

RESET ROLE;
