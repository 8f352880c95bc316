-- Purpose: what is to be measured exactly: which relation a name means, how large it is, and whether we may.
-- Needs: PostgreSQL 12; pgstattuple in this database, in the schema of the function.
SELECT relation.oid::bigint AS oid,
       nspname || '.' || relname AS name,
       CASE WHEN relkind IN ('r', 'm') THEN 'table' WHEN relkind = 'i' AND amname = 'btree' THEN 'index' ELSE '' END AS kind,
       relpages::bigint AS pages,
       nullif(reltoastrelid, 0)::bigint AS toast,
       coalesce(substring(reloptions::text FROM 'fillfactor=([0-9]+)')::int, 90) AS fill_percent,
       CASE WHEN is_held THEN NULL ELSE pg_table_size(relation.oid) END AS size_bytes,
       current_setting('block_size')::int AS block_size
FROM pg_class AS relation
JOIN pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN pg_am ON pg_am.oid = relam,
     LATERAL (SELECT EXISTS (SELECT FROM pg_locks WHERE pg_locks.relation = relation.oid AND pid <> pg_backend_pid()
                             AND mode = 'AccessExclusiveLock')) AS lock (is_held)
WHERE relation.oid = to_regclass(%(name)s)
