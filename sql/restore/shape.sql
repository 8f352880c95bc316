-- What of a restored database is not as it must be: indexes and constraints, and how many there are.
SELECT json_build_object(
         'invalid_indexes', (SELECT coalesce(json_agg(indexrelid::regclass::text), '[]')
                             FROM pg_index WHERE NOT (indisvalid AND indisready)),
         'indexes', (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace
                     WHERE nspname !~ '^pg_' AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
                       AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
                       AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = indrelid AND deptype = 'e')),
         'constraints', (SELECT count(*) FROM pg_constraint k JOIN pg_namespace n ON n.oid = connamespace
                         WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND conrelid <> 0
                           AND (contype IN ('p', 'u', 'x') OR contype = 'f' AND conparentid = 0)
                           AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = conrelid AND deptype = 'e')))
