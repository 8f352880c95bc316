-- Purpose: the largest tables of this database, with what their indexes take, and its largest indexes.
-- What somebody holds exclusively cannot be measured without waiting for him: there the size is the last one noted.
-- To measure opens a relation: only those that were noted as the largest are, and those that changed since.
-- Needs: PostgreSQL 12, any role.
WITH held AS MATERIALIZED (
    SELECT relation AS oid
    FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid <> pg_backend_pid()
), noted AS (
    SELECT pg_class.oid,
           relpages + coalesce((SELECT toast.relpages FROM pg_class AS toast WHERE toast.oid = pg_class.reltoastrelid), 0)
               + coalesce(of_indexes.pages, 0) AS pages,
           reltuples < 0 OR pg_stat_get_mod_since_analyze(pg_class.oid) >= 1000 AS is_changed
    FROM pg_class
    LEFT JOIN (SELECT indrelid, sum(relpages) AS pages
               FROM pg_index JOIN pg_class AS of_index ON of_index.oid = indexrelid
               GROUP BY indrelid) AS of_indexes ON of_indexes.indrelid = pg_class.oid
    WHERE relkind IN ('r', 'm') AND relnamespace <> 'pg_toast'::regnamespace
), candidates AS MATERIALIZED (
    SELECT oid FROM noted ORDER BY is_changed DESC, pages DESC LIMIT 1000
), measured AS MATERIALIZED (
    SELECT pg_class.oid,
           pg_class.relname,
           pg_class.relnamespace,
           pg_class.relkind,
           greatest(pg_class.reltuples, -1) AS reltuples,
           indrelid,
           is_held,
           CASE WHEN is_held THEN pg_class.relpages::bigint * current_setting('block_size')::bigint
                ELSE pg_table_size(pg_class.oid) END AS bytes
    FROM pg_class
    LEFT JOIN pg_index ON indexrelid = pg_class.oid,
         LATERAL (SELECT pg_class.oid IN (SELECT oid FROM held) OR reltoastrelid IN (SELECT oid FROM held)) AS lock (is_held)
    WHERE relkind IN ('r', 'm', 'i') AND coalesce(indrelid, pg_class.oid) IN (SELECT oid FROM candidates)
), of_indexes AS (
    SELECT indrelid, sum(bytes)::bigint AS bytes, bool_or(is_held) AS is_held
    FROM measured
    WHERE indrelid IS NOT NULL
    GROUP BY indrelid
), totalled AS (
    SELECT CASE WHEN measured.indrelid IS NULL THEN 'table' ELSE 'index' END AS kind,
           relname,
           relnamespace,
           measured.indrelid,
           CASE WHEN measured.indrelid IS NULL AND reltuples >= 0 THEN reltuples::bigint END AS rows,
           measured.bytes + coalesce(of_indexes.bytes, 0) AS size_bytes,
           CASE WHEN measured.indrelid IS NULL THEN coalesce(of_indexes.bytes, 0) END AS index_bytes,
           NOT (measured.is_held OR coalesce(of_indexes.is_held, false)) AS is_exact
    FROM measured
    LEFT JOIN of_indexes ON of_indexes.indrelid = measured.oid
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY kind ORDER BY size_bytes DESC NULLS LAST) AS rank
    FROM totalled
    WHERE size_bytes IS NOT NULL  -- gone meanwhile
)
SELECT kind,
       nspname || '.' || relname AS name,
       (SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = indrelid) AS "table",
       rows,
       size_bytes,
       index_bytes,
       is_exact
FROM ranked
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE rank <= 200
  -- of what the server keeps for itself only what grew beyond its nature, as large objects do
  AND (nspname NOT IN ('pg_catalog', 'information_schema') OR size_bytes > 16 * 1024 * 1024)
ORDER BY size_bytes DESC, name
LIMIT 400
