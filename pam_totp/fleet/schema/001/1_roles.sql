-- SPDX-License-Identifier: MIT
-- Roles, and what PostgreSQL gives to everybody. Runs as a superuser, as do all files of a migration.

DO $$
DECLARE
  role text;
BEGIN
  FOREACH role IN ARRAY ARRAY[
    'totp_owner',   -- owns the tables and the functions
    'totp_key',     -- owns the one function that reads the key file of the server
    'totp_watch',   -- owns the one function that ends sessions of hosts
    'totp_host',    -- every login host is a member
    'totp_admin'    -- administrators, by way of functions only
  ] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', role);
    END IF;
  END LOOP;
END $$;

GRANT pg_read_server_files TO totp_key;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO totp_key;
GRANT pg_signal_backend, pg_read_all_stats TO totp_watch;

-- Settings of this database, which only a superuser can lift. Whatever the cluster logs, values of
-- parameters are never in it, nor plans, which hold values where they are not generic.
DO $$
DECLARE
  setting text;
BEGIN
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO totp_host, totp_admin', current_database());
  FOREACH setting IN ARRAY ARRAY[
    'log_parameter_max_length = 0',
    'log_parameter_max_length_on_error = 0',
    'plan_cache_mode = force_generic_plan',
    'auto_explain.log_min_duration = -1',
    'debug_print_parse = off',
    'debug_print_rewritten = off',
    'debug_print_plan = off',
    'default_transaction_isolation = ''read committed''',
    -- A session keeps its plans, also those that it made while a table was small.
    'enable_seqscan = off',
    'jit = off'
  ] LOOP
    EXECUTE format('ALTER DATABASE %I SET ', current_database()) || setting;
    EXECUTE 'SET ' || setting;  -- of this session, which may go on and import secrets
  END LOOP;
END $$;

-- The cluster is the store's own: its other databases are for superusers.
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- A host may run what SQL it likes. Of what would fill the disk, the WAL or the table of locks of all,
-- or tell about the sessions of others, all that is a right is closed. (ALTER ROLE of itself is none.)
-- What tells how the server is, stays open to roles that monitor it (pg_monitor).
DO $$
DECLARE
  closed regprocedure;
  is_statistic boolean;
BEGIN
  FOR closed, is_statistic IN
    SELECT oid, proname ~ statistics FROM pg_proc,
      (VALUES ('^pg_(stat_get_.*|current_wal_.*|.*_size|lock_status|get_replication_slots)$',
               '^(lo_.*|lowrite|loread|pg_.*advisory.*|pg_logical_emit_message|pg_notify'
               '|pg_export_snapshot)$')) named (statistics, others)
    WHERE pronamespace = 'pg_catalog'::regnamespace AND (proname ~ statistics OR proname ~ others)
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', closed);
    IF is_statistic THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pg_read_all_stats', closed);
    END IF;
  END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_current_wal_insert_lsn() TO totp_owner;

-- Without it there are no DO blocks.
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO totp_owner;

-- No function is for everybody because somebody forgot to say so.
ALTER DEFAULT PRIVILEGES FOR ROLE totp_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE totp_key REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE totp_watch REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE SCHEMA totp AUTHORIZATION totp_owner;          -- tables, and what the functions below share
CREATE SCHEMA totp_api_1 AUTHORIZATION totp_owner;    -- what hosts may call
CREATE SCHEMA totp_admin_1 AUTHORIZATION totp_owner;  -- what administrators may call
CREATE SCHEMA totp_crypto AUTHORIZATION totp_owner;   -- pgcrypto
GRANT USAGE ON SCHEMA totp_api_1 TO totp_host;
GRANT USAGE ON SCHEMA totp_admin_1 TO totp_admin;

CREATE EXTENSION pgcrypto SCHEMA totp_crypto;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA totp_crypto FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA totp_crypto TO totp_owner;
