-- Its own sequences go on behind its largest number: the rows of a table are restored without them.
SELECT format('SELECT setval(%L::regclass, greatest(1, coalesce(max(%I), 1))) IS NULL AS nothing FROM %I.%I', format('%I.%I', n.nspname, s.relname), attname, :'schema', :'name')
FROM pg_depend d JOIN pg_class s ON s.oid = objid AND relkind = 'S' JOIN pg_namespace n ON n.oid = relnamespace
     JOIN pg_attribute a ON attrelid = refobjid AND attnum = refobjsubid
WHERE d.classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')
  AND refobjid = format('%I.%I', :'schema', :'name')::regclass
\gexec
