-- How many rows each table has now, and its newest moment. A table that takes too long is told by its statistics.
SET statement_timeout = :milliseconds;
SELECT format(
         'SELECT json_build_object(''relation'', %L, ''rows'', count(*), ''newest'', %s, ''is_exact'', true) FROM %s',
         n.nspname || '.' || c.relname,
         coalesce((SELECT 'greatest(' || string_agg(format('max(%I)::timestamptz', attname), ', ') || ')::text'
                   FROM pg_attribute a
                   WHERE a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
                     AND atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)), 'NULL'),
         c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
ORDER BY c.relpages
LIMIT 2000
\gexec
SELECT json_build_object('relation', n.nspname || '.' || c.relname, 'about', reltuples::bigint)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
