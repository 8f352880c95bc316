-- Checkpoints that came by time and those that were forced before it.
-- Needs: PostgreSQL up to 16 (checkpoints_17 after that), any role.
SELECT checkpoints_timed AS timed,
       checkpoints_req AS requested,
       checkpoint_write_time::float8 AS write_ms,
       checkpoint_sync_time::float8 AS sync_ms,
       extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS counted_seconds
FROM pg_stat_bgwriter
