-- Purpose: how often the indexes were used that enforce and identify nothing, the largest first; what would be lost
-- with one besides its scans stands in keeps.
-- Needs: PostgreSQL 12, any role.
WITH held AS MATERIALIZED (
    SELECT relation AS oid
    FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid <> pg_backend_pid()
)
SELECT indexrelid::bigint AS oid,
       nspname || '.' || relname AS name,
       (SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = indrelid) AS "table",
       relpages::bigint * current_setting('block_size')::bigint AS size_bytes,
       pg_stat_get_numscans(indexrelid) AS scans,
       array_remove(ARRAY[
           CASE WHEN indexprs IS NOT NULL THEN 'expression' END,
           CASE WHEN EXISTS (SELECT FROM pg_constraint
                             WHERE contype = 'f' AND conrelid = indrelid
                               AND (indkey::int2[])[0:cardinality(conkey) - 1] @> conkey)
                THEN 'foreign key' END,
           CASE WHEN relispartition THEN 'part of a partitioned index' END,
           CASE WHEN indisclustered THEN 'clustered' END,
           CASE WHEN EXISTS (SELECT FROM pg_depend
                             WHERE classid = 'pg_class'::regclass AND objid = indexrelid AND deptype = 'e')
                THEN 'extension' END
       ], NULL) AS keeps,
       CASE WHEN pg_stat_get_numscans(indexrelid) = 0 AND indrelid NOT IN (SELECT oid FROM held)
                 AND row_number() OVER (ORDER BY relpages DESC, indexrelid) <= 200  -- of as many as may be shown
            THEN pg_get_indexdef(indexrelid) END AS definition
FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'i'
  AND nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
  AND indisvalid
  AND NOT (indisunique OR indisprimary OR indisexclusion OR indisreplident)
  AND indexrelid NOT IN (SELECT conindid FROM pg_constraint WHERE conindid <> 0)
ORDER BY relpages DESC, indexrelid
LIMIT 2000
