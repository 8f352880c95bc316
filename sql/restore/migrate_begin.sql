-- Before the statements of a migration tool: one transaction, as who owns the table of the revision, which must be the
-- planned one; nobody else migrates meanwhile.
BEGIN;
SELECT set_config('lock_timeout', :'samaops_lock_timeout', true) IS NOT NULL AS samaops_is_set,
       (SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = :'samaops_table'::regclass) AS samaops_owner,
       format('LOCK TABLE %s IN EXCLUSIVE MODE', :'samaops_table'::regclass) AS samaops_lock,
       format('SELECT count(*) = 1 AND min(version_num) = %L AS samaops_is_there FROM %s', :'samaops_from', :'samaops_table'::regclass) AS samaops_before,
       format('SELECT count(*) = 1 AND min(version_num) = %L AS samaops_is_there FROM %s', :'samaops_to', :'samaops_table'::regclass) AS samaops_after
\gset
SET LOCAL ROLE :samaops_owner;
:samaops_lock;
:samaops_before \gset
\if :samaops_is_there
\else
DO $$ BEGIN RAISE EXCEPTION 'the database is not at the revision that was planned'; END $$;
\endif
