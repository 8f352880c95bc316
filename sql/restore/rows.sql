-- How many rows each table of a restored database has, counted. Tables of an extension are not always dumped.
SELECT format('SELECT json_build_object(''relation'', %L, ''rows'', count(*), ''is_extension'', %s) FROM ONLY %s',
              n.nspname || '.' || c.relname,
              EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')::text,
              c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
ORDER BY 1
\gexec
