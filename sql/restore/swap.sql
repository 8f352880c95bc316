-- Put one database in the place of another, all or nothing: a renaming holds off new sessions until it is committed.
BEGIN;
SELECT count(*) = 2 AS is_planned
FROM pg_database
WHERE (datname = :'live' AND oid = :old_oid) OR (datname = :'incoming' AND oid = :incoming_oid) \gset
\if :is_planned
\else
DO $$ BEGIN RAISE EXCEPTION 'the databases are not those that were planned'; END $$;
\endif
ALTER DATABASE :"live" RENAME TO :"outgoing";
ALTER DATABASE :"incoming" RENAME TO :"live";
ALTER DATABASE :"outgoing" WITH ALLOW_CONNECTIONS false;
ALTER DATABASE :"live" WITH ALLOW_CONNECTIONS true;
COMMENT ON DATABASE :"outgoing" IS :'outgoing_comment';
SELECT format('COMMENT ON DATABASE %I IS %s', :'live', CASE WHEN :has_comment THEN quote_literal(:'comment') ELSE 'NULL' END)
\gexec
COMMIT
