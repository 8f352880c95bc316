-- Purpose: since when this database's use is counted. A crash zeroes all counters and leaves stats_reset NULL: its trace
-- is the reset of the server's own statistics.
-- Needs: PostgreSQL 12, any role.
SELECT (SELECT extract(epoch FROM stats_reset)::float8 FROM pg_stat_database WHERE datname = current_database()) AS database_reset,
       (SELECT extract(epoch FROM stats_reset)::float8 FROM pg_stat_bgwriter) AS server_reset,
       extract(epoch FROM clock_timestamp() - coalesce(
           (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
           (SELECT stats_reset FROM pg_stat_bgwriter)))::float8 AS counted_seconds,
       (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming')::int AS standbys
