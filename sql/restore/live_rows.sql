-- How many rows each table has now, and its newest moment, by the column that a backup takes too (backup_moments). A
-- table that takes too long is told by its statistics.
SET statement_timeout = :milliseconds;
SET timezone = 'UTC';
SELECT format(
         'SELECT json_build_object(''relation'', %L, ''rows'', count(*), ''newest'', %s, ''is_exact'', true) FROM ONLY %s',
         n.nspname || '.' || c.relname,
         coalesce((SELECT format('max(%I)::text', attname)
                   FROM pg_attribute a
                   WHERE a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
                     AND atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
                   ORDER BY coalesce(array_position(ARRAY['created_at', 'inserted_at', 'created', 'updated_at'], attname::text), 9),
                            attnum
                   LIMIT 1), 'NULL'),
         c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
ORDER BY c.relpages
LIMIT 2000
\gexec
SELECT json_build_object('relation', n.nspname || '.' || c.relname, 'about', reltuples::bigint)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
