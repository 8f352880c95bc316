-- Indexes that a failed CREATE INDEX CONCURRENTLY left behind; those being built now are left out.
-- Needs: PostgreSQL 12, pg_monitor (others cannot see which index is being built).
SELECT index_namespace.nspname || '.' || of_index.relname AS name,
       table_namespace.nspname || '.' || of_table.relname AS relation,
       of_index.relpages::bigint * current_setting('block_size')::bigint AS size_bytes
FROM pg_index
JOIN pg_class AS of_index ON of_index.oid = indexrelid
JOIN pg_namespace AS index_namespace ON index_namespace.oid = of_index.relnamespace
JOIN pg_class AS of_table ON of_table.oid = indrelid
JOIN pg_namespace AS table_namespace ON table_namespace.oid = of_table.relnamespace
WHERE NOT (indisvalid AND indisready)
  AND of_index.relkind = 'i'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS building WHERE building.index_relid = indexrelid)
ORDER BY of_index.relpages DESC
LIMIT 50
