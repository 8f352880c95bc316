-- Per database: age of its oldest transaction id, cache, deadlocks, temporary files, and since when they are counted.
-- Needs: PostgreSQL 12, any role.
SELECT pg_database.datname AS name,
       pg_database.datname = current_database() AS is_ours,
       age(datfrozenxid)::bigint AS xid_age,
       mxid_age(datminmxid)::bigint AS multixact_age,
       coalesce(blks_hit, 0)::bigint AS blocks_hit,
       coalesce(blks_read, 0)::bigint AS blocks_read,
       coalesce(deadlocks, 0)::bigint AS deadlocks,
       coalesce(temp_files, 0)::bigint AS temp_files,
       coalesce(temp_bytes, 0)::bigint AS temp_bytes,
       -- a database that was never reset counts since the cluster's own statistics began
       extract(epoch FROM clock_timestamp() - coalesce(pg_stat_database.stats_reset, pg_stat_bgwriter.stats_reset))
           ::float8 AS counted_seconds
FROM pg_database
LEFT JOIN pg_stat_database ON pg_stat_database.datid = pg_database.oid
CROSS JOIN pg_stat_bgwriter
ORDER BY pg_database.datname
