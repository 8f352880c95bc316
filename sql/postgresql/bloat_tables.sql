-- Purpose: the largest tables with what an estimate of their bloat is made of: pages and rows as last noted, and of
-- each column its length, alignment, and the width and share of NULL that ANALYZE found.
-- pg_stats shows nothing, and says nothing, of tables that one may not SELECT: may_read tells.
-- Needs: PostgreSQL 12; SELECT on the tables: the role of their owner.
WITH held AS MATERIALIZED (
    SELECT relation AS oid
    FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid <> pg_backend_pid()
), candidates AS MATERIALIZED (  -- to measure opens a relation: only those that may be large enough are
    SELECT pg_class.oid
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace,
         LATERAL (SELECT reltuples < 0 OR pg_stat_get_mod_since_analyze(pg_class.oid) >= 1000) AS since (is_changed)
    WHERE relkind IN ('r', 'm')
      AND nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
      AND (is_changed OR relpages::bigint * current_setting('block_size')::bigint >= %(least_bytes)s)
    ORDER BY is_changed DESC, relpages DESC
    LIMIT 1000
), measured AS MATERIALIZED (
    SELECT pg_class.*,
           nspname,
           CASE WHEN pg_class.oid IN (SELECT oid FROM held)
                THEN relpages::bigint * current_setting('block_size')::bigint
                ELSE pg_relation_size(pg_class.oid) END AS size_bytes,
           CASE WHEN reltoastrelid <> 0 AND reltoastrelid NOT IN (SELECT oid FROM held)
                THEN pg_relation_size(reltoastrelid) END AS toast_bytes
    FROM candidates
    JOIN pg_class USING (oid)
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
), largest AS MATERIALIZED (
    SELECT *
    FROM measured
    WHERE size_bytes >= %(least_bytes)s
    ORDER BY size_bytes DESC
    LIMIT 300
), of_columns AS (
    SELECT attrelid,
           json_agg(json_build_array(attlen, attalign, avg_width, null_frac) ORDER BY attnum) AS columns
    FROM largest
    JOIN pg_attribute ON attrelid = largest.oid AND attnum > 0 AND NOT attisdropped
    -- in a subquery of its own: else all of pg_stats is read, and our right to each column of it asked for
    LEFT JOIN LATERAL (SELECT avg_width, null_frac
                       FROM pg_stats
                       WHERE schemaname = nspname AND tablename = largest.relname
                         AND pg_stats.attname = pg_attribute.attname AND NOT inherited
                       OFFSET 0) AS known ON true
    GROUP BY attrelid
)
SELECT nspname || '.' || largest.relname AS name,
       size_bytes,
       relpages::bigint AS pages,
       reltuples::float8 AS rows,
       coalesce(substring(reloptions::text FROM 'fillfactor=([0-9]+)')::int, 100) AS fill_percent,
       coalesce(n_mod_since_analyze, 0)::bigint AS modified_rows,
       coalesce(n_dead_tup, 0)::bigint AS dead_rows,
       toast_bytes,
       has_table_privilege(largest.oid, 'SELECT') AND NOT row_security_active(largest.oid) AS may_read,
       current_setting('block_size')::int AS block_size,
       columns
FROM largest
LEFT JOIN pg_stat_all_tables ON relid = largest.oid
LEFT JOIN of_columns ON attrelid = largest.oid
ORDER BY size_bytes DESC, name
