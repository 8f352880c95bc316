-- Purpose: an index by its schema and name, or nothing. Needs: any role.
SELECT of_index.oid::bigint AS oid,
       indrelid::bigint AS table_oid,
       indisvalid AND indisready AS is_valid,
       indisunique AS is_unique,
       pg_get_indexdef(of_index.oid) AS definition
FROM pg_class AS of_index
JOIN pg_namespace ON pg_namespace.oid = relnamespace
JOIN pg_index ON indexrelid = of_index.oid
WHERE nspname = %(schema)s AND relname = %(name)s
