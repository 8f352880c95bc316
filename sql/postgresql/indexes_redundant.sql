-- Purpose: indexes that are of no use: invalid ones, the second of two that are the same, those that a longer one begins with.
-- What enforces or identifies stands in keeps; such an index is never to be dropped, whatever else it is.
-- The text of an expression takes a lock on the table: where somebody holds it exclusively, such indexes are left out.
-- Needs: PostgreSQL 12, pg_monitor (others cannot see on which table an index is being built).
WITH held AS MATERIALIZED (
    SELECT relation AS oid
    FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid <> pg_backend_pid()
), constrained AS MATERIALIZED (
    SELECT conindid, bool_or(contype = 'f') AS by_other, bool_or(contype <> 'f') AS by_own
    FROM pg_constraint
    WHERE conindid <> 0
    GROUP BY conindid
), ours AS MATERIALIZED (
    SELECT pg_index.*,
           pg_class.relname,
           pg_class.relnamespace,
           pg_class.relkind,
           pg_class.relpages,
           pg_class.relam,
           indrelid IN (SELECT oid FROM held) AS is_held,
           CASE WHEN indexprs IS NULL THEN ''
                WHEN indrelid NOT IN (SELECT oid FROM held) THEN pg_get_expr(indexprs, indrelid) END AS expressions,
           CASE WHEN indpred IS NULL THEN ''
                WHEN indrelid NOT IN (SELECT oid FROM held) THEN pg_get_expr(indpred, indrelid) END AS predicate,
           array_remove(ARRAY[
               CASE WHEN indisprimary THEN 'primary key' END,
               CASE WHEN indisunique AND NOT indisprimary THEN 'unique' END,
               CASE WHEN indisexclusion THEN 'exclusion' END,
               CASE WHEN coalesce(by_own, false) AND NOT indisprimary THEN 'constraint' END,
               CASE WHEN by_other THEN 'foreign key of another table' END,
               CASE WHEN indisreplident THEN 'replica identity' END,
               CASE WHEN relispartition THEN 'part of a partitioned index' END,
               CASE WHEN EXISTS (SELECT FROM pg_depend
                                 WHERE classid = 'pg_class'::regclass AND objid = indexrelid AND deptype = 'e')
                    THEN 'extension' END
           ], NULL) AS keeps
    FROM pg_index
    JOIN pg_class ON pg_class.oid = indexrelid
    LEFT JOIN constrained ON conindid = indexrelid
    WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace, 'information_schema'::regnamespace)
), pairs AS MATERIALIZED (  -- by little: with more conditions the planner expects one pair, and compares all with all
    SELECT one, other
    FROM ours AS one
    JOIN ours AS other ON other.indrelid = one.indrelid AND other.indkey[0] = one.indkey[0]
    WHERE other.indexrelid <> one.indexrelid
), useless AS (
    SELECT 'invalid' AS class, ours.indexrelid, NULL::oid AS better
    FROM ours
    WHERE NOT (indisvalid AND indisready AND indislive)
      AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS building WHERE building.relid = indrelid)
    UNION ALL
    SELECT 'duplicate', (one).indexrelid, (other).indexrelid
    FROM pairs
    WHERE (one).indisvalid AND (other).indisvalid
      AND (other).relam = (one).relam
      AND (other).indkey::text = (one).indkey::text
      AND (other).indnkeyatts = (one).indnkeyatts
      AND (other).indclass::text = (one).indclass::text
      AND (other).indcollation::text = (one).indcollation::text
      AND (other).indoption::text = (one).indoption::text
      AND (other).expressions = (one).expressions
      AND (other).predicate = (one).predicate
      -- of two, the one stays that does more; of equals the older one
      AND (cardinality((one).keeps) < cardinality((other).keeps)
           OR cardinality((one).keeps) = cardinality((other).keeps) AND (one).indexrelid > (other).indexrelid)
    UNION ALL
    SELECT 'covered', (one).indexrelid, (other).indexrelid
    FROM pairs
    WHERE (one).indisvalid AND (other).indisvalid
      AND (one).relam = (SELECT oid FROM pg_am WHERE amname = 'btree')
      AND (one).indnatts = (one).indnkeyatts
      AND (one).expressions = ''
      AND (one).keeps = '{}'
      AND (other).indnkeyatts > (one).indnkeyatts
      AND (other).relam = (one).relam
      AND (other).predicate = (one).predicate
      AND ((other).indkey::int2[])[0:(one).indnkeyatts - 1] = ((one).indkey::int2[])[0:(one).indnkeyatts - 1]
      AND ((other).indclass::oid[])[0:(one).indnkeyatts - 1] = ((one).indclass::oid[])[0:(one).indnkeyatts - 1]
      AND ((other).indcollation::oid[])[0:(one).indnkeyatts - 1]
          = ((one).indcollation::oid[])[0:(one).indnkeyatts - 1]
      AND ((other).indoption::int2[])[0:(one).indnkeyatts - 1] = ((one).indoption::int2[])[0:(one).indnkeyatts - 1]
)
SELECT class,
       nspname || '.' || ours.relname AS name,
       (SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = ours.indrelid) AS "table",
       ours.relkind = 'I' AS is_partitioned,
       ours.relpages::bigint * current_setting('block_size')::bigint AS size_bytes,
       pg_stat_get_numscans(ours.indexrelid) AS scans,
       ours.keeps,
       (SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = better) AS better,
       (SELECT relpages FROM pg_class WHERE pg_class.oid = better)::bigint
           * current_setting('block_size')::bigint AS better_bytes,
       CASE WHEN NOT is_held THEN pg_get_indexdef(ours.indexrelid) END AS definition
FROM (SELECT DISTINCT ON (indexrelid) *
      FROM useless
      ORDER BY indexrelid, array_position(ARRAY['invalid', 'duplicate', 'covered'], class), better) AS useless
JOIN ours USING (indexrelid)
JOIN pg_namespace ON pg_namespace.oid = ours.relnamespace
ORDER BY array_position(ARRAY['invalid', 'duplicate', 'covered'], class), ours.relpages DESC, name
LIMIT 1000
