-- What goes with a column, or with a whole table where none is named: as the migration tool names it, found as the
-- application finds it.
SELECT format('SELECT json_build_object(''relation'', %L, ''rows'', count(*), ''values'', count(%s)) FROM %s',
              n.nspname || '.' || c.relname,
              CASE WHEN :'column' = '' THEN '*' ELSE quote_ident(:'column') END,
              c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE c.oid = (CASE WHEN :'schema' = '' THEN '' ELSE quote_ident(:'schema') || '.' END || quote_ident(:'name'))::regclass
\gexec
