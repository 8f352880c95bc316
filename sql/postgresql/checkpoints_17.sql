-- Checkpoints that came by time and those that were forced before it.
-- Needs: PostgreSQL 17, any role.
SELECT num_timed AS timed,
       num_requested AS requested,
       write_time::float8 AS write_ms,
       sync_time::float8 AS sync_ms,
       extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS counted_seconds
FROM pg_stat_checkpointer
