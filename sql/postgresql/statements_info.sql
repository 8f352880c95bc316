-- Purpose: how often pg_stat_statements threw out entries for want of room, and since when it counts.
-- Needs: PostgreSQL 14, pg_stat_statements 1.9.
SELECT dealloc AS evictions,
       stats_reset::text AS reset_at,
       extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS counted_seconds,
       current_setting('pg_stat_statements.max')::int AS entries_at_most,
       current_setting('block_size')::int AS block_size,
       clock_timestamp()::text AS now
FROM {view}
