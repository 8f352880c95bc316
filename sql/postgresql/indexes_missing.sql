-- Purpose: foreign keys whose columns no index begins with, and large tables that are read from end to end again and again.
-- Needs: PostgreSQL 12, any role.
WITH held AS MATERIALIZED (
    SELECT relation AS oid
    FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid <> pg_backend_pid()
), lacking AS (
    SELECT conrelid, conname, conkey, confrelid
    FROM pg_constraint
    WHERE contype = 'f'
      AND conparentid = 0
      AND NOT EXISTS (
          SELECT
          FROM pg_index
          WHERE indrelid = conrelid
            AND indisvalid
            AND (indkey::int2[])[0:cardinality(conkey) - 1] @> conkey
            AND (indkey::int2[])[0:cardinality(conkey) - 1] <@ conkey
            -- one that leaves out what is NULL serves as well: nothing refers to NULL
            AND (indpred IS NULL
                 OR cardinality(conkey) = 1
                    AND indrelid NOT IN (SELECT oid FROM held)
                    AND pg_get_expr(indpred, indrelid)
                        = format('(%%I IS NOT NULL)', (SELECT attname FROM pg_attribute
                                                      WHERE attrelid = conrelid AND attnum = conkey[1])))
      )
)
SELECT * FROM (
    SELECT 'foreign key' AS class,
           conname::text AS name,
           nspname || '.' || relname AS "table",
           (SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE pg_class.oid = confrelid) AS other,
           (SELECT array_agg(attname::text ORDER BY place)
            FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
            JOIN pg_attribute ON attrelid = conrelid AND attnum = number) AS columns,
           relpages::bigint * current_setting('block_size')::bigint AS size_bytes,
           nullif(greatest(reltuples, -1), -1)::bigint AS rows,
           NULL::bigint AS scans,
           NULL::bigint AS rows_read,
           NULL::bigint AS index_scans,
           pg_stat_get_tuples_deleted(confrelid) + pg_stat_get_tuples_updated(confrelid) AS changes
    FROM lacking
    JOIN pg_class ON pg_class.oid = conrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    ORDER BY relpages DESC, conname
    LIMIT 500
) AS foreign_keys
UNION ALL
SELECT * FROM (
    SELECT 'sequential',
           schemaname || '.' || pg_class.relname,
           schemaname || '.' || pg_class.relname,
           NULL,
           NULL::text[],
           relpages::bigint * current_setting('block_size')::bigint AS size_bytes,
           nullif(greatest(reltuples, -1), -1)::bigint,
           seq_scan,
           seq_tup_read,
           idx_scan,
           NULL::bigint
    FROM pg_stat_user_tables
    JOIN pg_class ON pg_class.oid = relid
    WHERE relpages::bigint * current_setting('block_size')::bigint >= %(least_bytes)s
      AND seq_scan >= %(least_scans)s
      -- most of it each time: a LIMIT that ends early reads little
      AND seq_tup_read / seq_scan >= greatest(reltuples, 0) / 2
    ORDER BY seq_tup_read DESC
    LIMIT 200
) AS scanned
