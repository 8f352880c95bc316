-- Blocks found in shared_buffers, and read from outside of it, since the counters began: by database and by relation.
-- Needs: PostgreSQL 12, any role. Of at most 50,000 relations of this database, without the system's own.
SELECT 'database' AS of,
       coalesce(datname, '(shared)')::text AS name,
       datid::bigint AS id,
       blks_hit AS hit,
       blks_read AS read,
       extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS counted_seconds
FROM pg_stat_database
UNION ALL
(SELECT CASE WHEN relation.nspname = 'pg_toast' THEN 'toast' WHEN relation.relkind = 'i' THEN 'index' ELSE 'table' END,
        CASE WHEN relation.nspname = 'pg_toast' THEN coalesce(space.nspname || '.' || owner.relname, relation.relname)
             ELSE relation.nspname || '.' || relation.relname END,
        relation.oid::bigint,
        pg_stat_get_blocks_hit(relation.oid),
        pg_stat_get_blocks_fetched(relation.oid) - pg_stat_get_blocks_hit(relation.oid),
        NULL
 FROM (SELECT pg_class.oid, relname, relkind, nspname,
              -- an index of a toast table has its table's number in its name too
              substring(relname FROM '^pg_toast_(\d+)')::oid AS owner
       FROM pg_class
       JOIN pg_namespace ON pg_namespace.oid = relnamespace
       WHERE relkind IN ('r', 'i', 't', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema')) AS relation
 LEFT JOIN pg_class AS owner ON relation.nspname = 'pg_toast' AND owner.oid = relation.owner
 LEFT JOIN pg_namespace AS space ON space.oid = owner.relnamespace
 WHERE pg_stat_get_blocks_fetched(relation.oid) > 0
   -- the toast tables of the system's own relations have small numbers
   AND (relation.nspname <> 'pg_toast' OR relation.owner >= 16384)
 LIMIT 50000)
