-- In a scratch database: a table, its indexes and its own sequences get names that are free in the live one.
ALTER TABLE :"schema".:"name" RENAME TO :"rename";
SELECT format('ALTER INDEX %I.%I RENAME TO %I', :'schema', c.relname, left(:'rename', 50) || '_i' || row_number() OVER (ORDER BY c.relname))
FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
WHERE indrelid = format('%I.%I', :'schema', :'rename')::regclass
\gexec
SELECT format('ALTER SEQUENCE %I.%I RENAME TO %I', n.nspname, s.relname, left(:'rename', 50) || '_s' || row_number() OVER (ORDER BY s.relname))
FROM pg_depend d JOIN pg_class s ON s.oid = objid AND relkind = 'S' JOIN pg_namespace n ON n.oid = relnamespace
WHERE d.classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
  AND refobjid = format('%I.%I', :'schema', :'rename')::regclass
\gexec
