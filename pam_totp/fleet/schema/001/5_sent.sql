-- SPDX-License-Identifier: MIT
-- Codes that a host has sent and compares itself: the store never sees one. Here the try is counted,
-- with all others of that person, so that many hosts give nobody more guesses than one.
--
-- What a host says of such a code MUST change no more than the one try that the host itself had counted:
-- not that there were others, nor one in which the store has compared a code.

SET LOCAL ROLE totp_owner;

-- 1 of 2. Counts a try, before the host compares. It stays counted unless it is taken back. ticket: what
-- to take back, or to submit in the place of; enrolled: whether the store has a secret of the person.
CREATE FUNCTION totp_api_1.count_sent(person text, service text, rhost text, OUT ticket bigint,
                                      OUT refusal text, OUT wait_seconds int, OUT enrolled boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  known totp.person;
  setting totp.setting;
  counted record;
  now double precision;
BEGIN
  enrolled := false;
  IF (octet_length(person) BETWEEN 1 AND 255) IS NOT TRUE THEN
    refusal := 'bad-input';
    RETURN;
  END IF;
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM totp.notice_incarnation();
  known := totp.lock_person(person);
  SELECT * INTO setting FROM totp.setting;
  enrolled := EXISTS (SELECT FROM totp.credential c WHERE c.person = known.id);
  now := totp.clock();
  wait_seconds := totp.whole_wait(known);
  IF wait_seconds > 0 THEN
    refusal := 'throttled';
    RETURN;
  END IF;
  IF NOT totp.count_try_of_host(host, setting, false, now) THEN
    refusal := 'host-throttled';
    wait_seconds := ceil(coalesce(host.seconds, setting.host_seconds));
    RETURN;
  END IF;
  IF known.id IS NULL THEN
    known := totp.known_person(person);
    wait_seconds := totp.whole_wait(known);
    IF known.id IS NULL OR wait_seconds > 0 THEN  -- another host was faster
      refusal := 'throttled';
      wait_seconds := greatest(wait_seconds, 1);
      RETURN;
    END IF;
  END IF;
  -- No code that the store has compared ends the row of somebody without a secret. It ends where the
  -- whole budget is there again: until then the budget allows no more tries than a new row does.
  IF NOT enrolled AND known.in_a_row > 0 AND known.budget_used <= now THEN
    known.in_a_row := 0;
    known.rows_ended := known.rows_ended + 1;
  END IF;
  SELECT * INTO counted FROM totp.count_try(known, setting, now, 1);
  UPDATE totp.person p SET
    in_a_row = (counted.person).in_a_row, last_try = (counted.person).last_try,
    budget_used = (counted.person).budget_used, rows_ended = known.rows_ended
  WHERE p.id = known.id;
  INSERT INTO totp.attempt (at, xact, host, person, service, rhost, is_recovery, is_sent, reason,
                            detail, charged, last_try_before, rows_ended)
  VALUES (now, pg_current_xact_id(), host.name, count_sent.person,
          coalesce(left(count_sent.service, 64), ''), coalesce(left(count_sent.rhost, 255), ''),
          false, true, 'wrong-code', 'not the code that this host has sent, as it says',
          counted.charged, known.last_try, known.rows_ended)
  RETURNING id INTO ticket;
END $$;

-- The try of a ticket of count_sent, once it no more counts against the person. Raises P0T01 unless it
-- is this host's and this person's, under ten seconds old, and was not taken back yet.
CREATE FUNCTION totp.uncounted(ticket bigint, person_name text, host totp.host) RETURNS totp.attempt
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  known totp.person := totp.lock_person(person_name);
  attempt totp.attempt;
  now double precision := totp.clock();
BEGIN
  SELECT * INTO attempt FROM totp.attempt a
  WHERE a.id = ticket AND a.host = host.name AND a.person = person_name FOR UPDATE;
  IF attempt.id IS NULL OR NOT attempt.is_sent OR attempt.charged IS NULL
     OR NOT attempt.at BETWEEN now - 10 AND now + 1 THEN
    RAISE EXCEPTION 'no such ticket' USING ERRCODE = 'P0T01';
  END IF;
  PERFORM totp.take_try_back(attempt, known);
  RETURN attempt;
END $$;

-- 2 of 2. The code was the one that this host has sent, so this try is no incorrect one. That the host
-- lies is no matter: it could let anybody in, and learns nothing here. Of a name that stays because
-- another try counts, the row stays, and so the host's try: it has the name forgotten later, and a host
-- could invent names without end.
CREATE FUNCTION totp_api_1.take_back(ticket bigint, person text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  attempt totp.attempt := totp.uncounted(ticket, person, host);
  known totp.person;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  UPDATE totp.attempt a SET
    reason = 'sent-code', detail = 'as this host says',
    charged = NULL, last_try_before = NULL, rows_ended = NULL
  WHERE a.id = attempt.id;
  PERFORM totp.forget_nobodies(ARRAY(SELECT p.id FROM totp.person p WHERE p.name = take_back.person));
  SELECT * INTO known FROM totp.person p WHERE p.name = take_back.person;
  IF known.id IS NULL OR NOT totp.is_nobody(known) THEN
    PERFORM totp.give_try_back(attempt, host);
    PERFORM totp.keep_few_rows(attempt, host);
  END IF;
END $$;

-- As submit, for an answer that was counted already because it could have been one that was sent: its
-- try takes the place of that one. Where it is refused, that one stays counted. Raises P0T01 for somebody
-- without a secret, too: else the row would be gone that has the name forgotten.
CREATE FUNCTION totp_api_1.submit_counted(counted bigint, person text, answer text, service text,
                                          rhost text, OUT ticket bigint, OUT refusal text,
                                          OUT wait_seconds int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '700ms'
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  host totp.host := totp.calling_host();
  attempt totp.attempt;
BEGIN
  attempt := totp.uncounted(counted, person, host);
  IF NOT EXISTS (SELECT FROM totp.person p JOIN totp.credential c ON c.person = p.id
                 WHERE p.name = submit_counted.person) THEN
    RAISE EXCEPTION 'no such ticket' USING ERRCODE = 'P0T01';
  END IF;
  PERFORM totp.give_try_back(attempt, host);
  DELETE FROM totp.attempt a WHERE a.id = attempt.id;
  SELECT s.ticket, s.refusal, s.wait_seconds INTO ticket, refusal, wait_seconds
  FROM totp_api_1.submit(person, answer, service, rhost) s;
  IF ticket IS NULL THEN
    RAISE EXCEPTION '%', refusal USING ERRCODE = 'P0T08', DETAIL = coalesce(wait_seconds, 0);
  END IF;
EXCEPTION WHEN SQLSTATE 'P0T08' THEN  -- which takes all of this back
  ticket := NULL;
END $$;

RESET ROLE;
