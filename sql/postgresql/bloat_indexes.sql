-- Purpose: the largest b-tree indexes with what an estimate of their bloat is made of, as for tables; an index on an
-- expression has no such columns. key tells an index from another that came in its place under its name.
-- Needs: PostgreSQL 12; SELECT on the tables: the role of their owner.
WITH held AS MATERIALIZED (
    SELECT relation AS oid
    FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid <> pg_backend_pid()
), candidates AS MATERIALIZED (  -- to measure opens a relation: only those that may be large enough are
    SELECT indexrelid
    FROM pg_index
    JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace,
         LATERAL (SELECT reltuples < 0 OR pg_stat_get_mod_since_analyze(indrelid) >= 1000) AS since (is_changed)
    WHERE relkind = 'i'
      AND indisvalid
      AND relam = (SELECT oid FROM pg_am WHERE amname = 'btree')
      AND nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')
      AND (is_changed OR relpages::bigint * current_setting('block_size')::bigint >= %(least_bytes)s)
    ORDER BY is_changed DESC, relpages DESC
    LIMIT 1000
), measured AS MATERIALIZED (
    SELECT pg_class.*,
           nspname,
           pg_index.*,
           CASE WHEN pg_class.oid IN (SELECT oid FROM held)
                THEN relpages::bigint * current_setting('block_size')::bigint
                ELSE pg_relation_size(pg_class.oid) END AS size_bytes
    FROM candidates
    JOIN pg_index USING (indexrelid)
    JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
), largest AS MATERIALIZED (
    SELECT *
    FROM measured
    WHERE size_bytes >= %(least_bytes)s
    ORDER BY size_bytes DESC
    LIMIT 300
), of_columns AS (
    SELECT indexrelid AS attrelid,
           json_agg(json_build_array(attlen, attalign, avg_width, null_frac) ORDER BY place) AS columns
    FROM largest
    CROSS JOIN LATERAL unnest(indkey::int2[]) WITH ORDINALITY AS key (number, place)
    JOIN pg_attribute ON attrelid = indrelid AND attnum = key.number
    JOIN pg_class AS of_table ON of_table.oid = indrelid
    JOIN pg_namespace AS its ON its.oid = of_table.relnamespace
    -- in a subquery of its own: else all of pg_stats is read, and our right to each column of it asked for
    LEFT JOIN LATERAL (SELECT avg_width, null_frac
                       FROM pg_stats
                       WHERE schemaname = its.nspname AND tablename = of_table.relname
                         AND pg_stats.attname = pg_attribute.attname AND NOT inherited
                       OFFSET 0) AS known ON true
    WHERE indexprs IS NULL
    GROUP BY indexrelid
)
SELECT nspname || '.' || relname AS name,
       (SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = indrelid) AS "table",
       nspname || '.' || relname || '#' || left(md5(concat_ws(' ', indrelid, indkey, indclass, indexprs, indpred)), 8) AS key,
       size_bytes,
       relpages::bigint AS pages,
       reltuples::float8 AS rows,
       coalesce(substring(reloptions::text FROM 'fillfactor=([0-9]+)')::int, 90) AS fill_percent,
       coalesce(pg_stat_get_mod_since_analyze(indrelid), 0)::bigint AS modified_rows,
       has_table_privilege(indrelid, 'SELECT') AND NOT row_security_active(indrelid) AS may_read,
       current_setting('block_size')::int AS block_size,
       columns
FROM largest
LEFT JOIN of_columns ON attrelid = indexrelid
ORDER BY size_bytes DESC, name
