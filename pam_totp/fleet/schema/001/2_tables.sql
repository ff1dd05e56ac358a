-- SPDX-License-Identifier: MIT
-- What the store holds. Times are Unix seconds of totp.clock(), the one clock of the fleet.

-- Each check calls some twenty functions. One in SQL that is not merged into its caller is parsed and
-- planned at every call: because it has a sub-select, or because it says IMMUTABLE and calls something
-- that is only STABLE. What is called at a check or for the gate MUST be plpgsql, or merge.

SET LOCAL ROLE totp_owner;

-- The only clock that decides. Tests replace this function, to move the time.
CREATE FUNCTION totp.clock() RETURNS double precision
LANGUAGE sql VOLATILE AS $$ SELECT extract(epoch FROM clock_timestamp())::double precision $$;

-- What an administrator may change: one row.
CREATE TABLE totp.setting (
  one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
  window_steps int NOT NULL DEFAULT 1 CHECK (window_steps BETWEEN 0 AND 5),
  free_tries int NOT NULL DEFAULT 5 CHECK (free_tries BETWEEN 1 AND 20),
  first_wait int NOT NULL DEFAULT 30 CHECK (first_wait BETWEEN 1 AND 900),   -- seconds
  longest_wait int NOT NULL DEFAULT 900 CHECK (longest_wait BETWEEN 1 AND 900),
  budget_tries int NOT NULL DEFAULT 300 CHECK (budget_tries >= 1),
  -- Of a host: so many tries at once, then one more in so many seconds.
  host_burst int NOT NULL DEFAULT 300 CHECK (host_burst >= 1),
  host_seconds double precision NOT NULL DEFAULT 2 CHECK (host_seconds > 0),
  audit_days int NOT NULL DEFAULT 90 CHECK (audit_days >= 1),
  -- Of secrets that are made from now on.
  algorithm text NOT NULL DEFAULT 'sha1' CHECK (algorithm IN ('sha1', 'sha256', 'sha512')),
  digits int NOT NULL DEFAULT 6 CHECK (digits BETWEEN 6 AND 8),
  period int NOT NULL DEFAULT 30 CHECK (period BETWEEN 1 AND 3600)           -- seconds
);

-- Which store this is, and how far it is: one row.
CREATE TABLE totp.store (
  one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
  id text NOT NULL,                        -- 32 hex digits; hosts pin it
  schema_version int NOT NULL,
  key_version int,                         -- of the key file that seals new secrets
  epoch int NOT NULL DEFAULT 1,            -- raised when an administrator says `store restored`
  incarnation text NOT NULL,               -- which server on which timeline wrote this row
  began text NOT NULL,                     -- random: two standbys may begin a timeline of one number
  no_step_before double precision NOT NULL DEFAULT 0,  -- see totp.notice_incarnation
  enrolled_before bigint NOT NULL DEFAULT 0            -- totp.enrolled_count() when this one began
) WITH (fillfactor = 20);

-- How many enrollments and resets each host, and each administrator, has made: it only grows. A row for
-- each, since one that all write could be kept locked by a single host.
CREATE TABLE totp.enrolled (
  by_role name PRIMARY KEY,
  how_many bigint NOT NULL
) WITH (fillfactor = 50);

-- Whether a server has the key file of a version: an HMAC of a constant tells, and tells no more.
CREATE TABLE totp.key_check (
  version int PRIMARY KEY,
  mac bytea NOT NULL
);

-- The counters are those of rules/throttle.py.
CREATE TABLE totp.person (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE CHECK (octet_length(name) BETWEEN 1 AND 255),
  in_a_row int NOT NULL DEFAULT 0,
  last_try double precision NOT NULL DEFAULT 0,
  budget_used double precision NOT NULL DEFAULT 0,
  rows_ended bigint NOT NULL DEFAULT 0,                -- how often in_a_row began anew
  incorrect_recovery int NOT NULL DEFAULT 0,           -- incorrect recovery codes in a row
  last_code_at double precision,
  reset_at double precision                            -- null once enrolled again
) WITH (fillfactor = 70);

-- A secret that a code has proved.
CREATE TABLE totp.credential (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  person bigint NOT NULL REFERENCES totp.person ON DELETE CASCADE,
  sealed bytea NOT NULL,                               -- see totp.seal
  key_version int NOT NULL,
  algorithm text NOT NULL CHECK (algorithm IN ('sha1', 'sha256', 'sha512')),
  digits smallint NOT NULL CHECK (digits BETWEEN 6 AND 8),
  period smallint NOT NULL CHECK (period BETWEEN 1 AND 3600),
  clock_offset int NOT NULL DEFAULT 0,                 -- steps by which a token's clock is ahead
  last_step bigint NOT NULL DEFAULT -1,                -- this step and all before it are used
  device text NOT NULL,
  since double precision NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX credential_of_person ON totp.credential (person);

-- A secret that was shown to somebody, until a code proves it. Good for ten minutes, on that host.
CREATE TABLE totp.pending (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  person bigint NOT NULL REFERENCES totp.person ON DELETE CASCADE,
  host name NOT NULL,
  invitation bytea,                                    -- its digest; null: enrolling at a login
  sealed bytea NOT NULL,
  key_version int NOT NULL,
  algorithm text NOT NULL,
  digits smallint NOT NULL,
  period smallint NOT NULL,
  device text NOT NULL,
  at double precision NOT NULL
);
CREATE INDEX pending_of_person ON totp.pending (person);

-- A digest of 80 random bits needs no salt: they cannot be tried at any cost.
CREATE TABLE totp.recovery_code (
  person bigint NOT NULL REFERENCES totp.person ON DELETE CASCADE,
  digest bytea NOT NULL,
  used_at double precision,
  PRIMARY KEY (person, digest)
);

CREATE TABLE totp.invitation (
  person bigint PRIMARY KEY REFERENCES totp.person ON DELETE CASCADE,  -- the latest one is the only one
  digest bytea NOT NULL,
  expires_at double precision NOT NULL
);

CREATE TABLE totp.host (
  name name PRIMARY KEY,                               -- its role has the same name
  joined_at double precision NOT NULL,
  left_at double precision,
  may_enroll boolean NOT NULL DEFAULT false,           -- people without an invitation, at their login
  burst int CHECK (burst >= 1),                        -- in place of setting's, for a jump host
  seconds double precision CHECK (seconds > 0),
  budget_used double precision NOT NULL DEFAULT 0,
  recovery_used double precision NOT NULL DEFAULT 0,   -- the same for recovery codes
  rows_used double precision NOT NULL DEFAULT 0,       -- the same for what costs no try
  last_seen double precision,
  clock_difference double precision,                   -- seconds by which the host's clock is ahead
  release text,
  servers text                                         -- that it knows: NAME:PORT, with commas
) WITH (fillfactor = 50);

-- Every try stands here before anybody has compared it. It is the audit as well.
CREATE TABLE totp.attempt (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at double precision NOT NULL,
  xact xid8 NOT NULL,                      -- the top-level transaction of submit
  host name NOT NULL,
  person text NOT NULL,                    -- as typed: perhaps nobody
  service text NOT NULL,
  rhost text NOT NULL,
  is_recovery boolean NOT NULL,
  is_sent boolean NOT NULL DEFAULT false,  -- counted for a code that the host compares itself
  reason text,                             -- null: submitted, and never revealed
  device text,
  detail text,
  -- Until it is revealed, or taken back: what was typed, as a digest, and what the try cost the person.
  guess bytea,
  compared int,                            -- with how many credentials
  charged double precision,                -- seconds of the budget
  last_try_before double precision,
  rows_ended bigint                        -- of the person, then
) WITH (fillfactor = 85);
CREATE INDEX attempt_at ON totp.attempt USING brin (at);

RESET ROLE;
