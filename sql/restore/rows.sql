-- How many rows each table of a restored database has, counted.
SELECT format('SELECT json_build_object(''relation'', %L, ''rows'', count(*)) FROM ONLY %s',
              n.nspname || '.' || c.relname, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
ORDER BY 1
\gexec
