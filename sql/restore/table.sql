-- One table, by its schema and name: what it is.
SELECT json_build_object('relation', n.nspname || '.' || c.relname, 'kind', relkind, 'rows', reltuples::bigint,
                         'is_child', EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid OR inhparent = c.oid))
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = :'schema' AND relname = :'name'
