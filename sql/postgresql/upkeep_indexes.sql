-- Purpose: every index of this database with what decides whether it is rebuilt, and how large it should be.
-- Needs: PostgreSQL 12, any role; pg_stats shows the widths of columns of tables that the role may read. At most 40,000.
-- The size of one on which somebody works exclusively is as it was last counted: to look would wait for him.
WITH locked AS MATERIALIZED (
    SELECT DISTINCT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation IS NOT NULL
), sized AS MATERIALIZED (
    SELECT pg_index.*, of_index.relname, of_index.relnamespace, of_index.relkind, of_index.relam, of_index.reltablespace,
           of_index.reltuples, of_index.relpages, of_index.relowner,
           CASE WHEN of_index.relkind = 'I' THEN 0
                WHEN indexrelid IN (SELECT relation FROM locked)
                    THEN of_index.relpages::bigint * current_setting('block_size')::bigint
                ELSE coalesce(pg_relation_size(indexrelid), 0) END AS size_bytes
    FROM pg_index
    JOIN pg_class AS of_index ON of_index.oid = indexrelid
    WHERE indexrelid >= 16384 AND of_index.relpersistence <> 't'
    LIMIT 40000
)
SELECT indexrelid::bigint AS oid,
       index_namespace.nspname AS schema,
       sized.relname AS name,
       indrelid::bigint AS table_oid,
       table_namespace.nspname AS table_schema,
       of_table.relname AS table_name,
       sized.relkind::text AS kind,
       amname AS method,
       indisexclusion AS is_exclusion,
       indisvalid AND indisready AS is_valid,
       coalesce(pg_get_userbyid(sized.relowner)::text, '?') AS owner,
       pg_has_role(sized.relowner, 'USAGE')
           OR (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database())
           OR CASE WHEN current_setting('server_version_num')::int >= 170000
                   THEN has_table_privilege(indrelid, 'MAINTAIN') ELSE false END AS may_maintain,
       EXISTS (SELECT FROM pg_roles WHERE pg_roles.oid = sized.relowner AND rolsuper) AS is_superusers,
       coalesce(spcname, '') AS tablespace,
       size_bytes::bigint AS size_bytes,
       greatest(sized.reltuples, CASE WHEN indpred IS NULL THEN pg_stat_get_live_tuples(indrelid) ELSE 0 END, 0)::float8 AS rows,
       -- bytes that one row should need, NULL where that cannot be told: a pointer, a header, the columns, pages filled to 90 %
       CASE WHEN amname = 'btree' AND size_bytes >= 8388608 THEN (
           SELECT CASE WHEN count(pg_stats.attname) = count(*)
               THEN (4 + 8 * ceil((8 + sum(pg_stats.avg_width)) / 8.0)) / 0.9 END
           FROM pg_attribute AS part
           LEFT JOIN pg_attribute AS column_of ON column_of.attrelid = indrelid AND column_of.attnum = indkey[part.attnum - 1]
               AND indkey[part.attnum - 1] <> 0
           LEFT JOIN pg_stats ON NOT pg_stats.inherited AND (
               (column_of.attname IS NOT NULL AND pg_stats.schemaname = table_namespace.nspname
                   AND pg_stats.tablename = of_table.relname AND pg_stats.attname = column_of.attname)
               OR (column_of.attname IS NULL AND pg_stats.schemaname = index_namespace.nspname
                   AND pg_stats.tablename = sized.relname AND pg_stats.attname = part.attname))
           WHERE part.attrelid = indexrelid AND part.attnum > 0
       )::float8 END AS row_bytes
FROM sized
JOIN pg_class AS of_table ON of_table.oid = indrelid
JOIN pg_namespace AS index_namespace ON index_namespace.oid = sized.relnamespace
JOIN pg_namespace AS table_namespace ON table_namespace.oid = of_table.relnamespace
JOIN pg_am ON pg_am.oid = sized.relam
LEFT JOIN pg_tablespace ON pg_tablespace.oid = sized.reltablespace
WHERE table_namespace.nspname !~ '^pg_toast'
