-- Purpose: indexes that serve no query: left behind, or being built now. Needs: PostgreSQL 12, any role.
SELECT indexrelid::bigint AS oid,
       nspname AS schema,
       relname AS name,
       indrelid::bigint AS table_oid
FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE NOT (indisvalid AND indisready AND indislive) AND relkind = 'i'
ORDER BY indexrelid
LIMIT 1000
