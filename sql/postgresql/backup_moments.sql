-- The column of each table by which its newest row is told: of those that are a moment the one whose name says that it
-- is when the row came or changed, else the first. Needs: PostgreSQL 14; rights to see every table.
SELECT DISTINCT ON (c.oid) quote_ident(n.nspname) || '.' || quote_ident(c.relname), quote_ident(a.attname)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r'
    AND n.nspname !~ '^(pg_|information_schema$)'
    AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
ORDER BY
    c.oid,
    coalesce(array_position(ARRAY['created_at', 'inserted_at', 'created', 'updated_at'], a.attname::text), 9),
    a.attnum
