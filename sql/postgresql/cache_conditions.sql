-- What the counters of blocks mean: whether there are any, how large a block is, and since when they are counted.
-- Needs: PostgreSQL 12, any role.
SELECT current_setting('track_counts')::bool AS is_counted,
       current_setting('block_size')::bigint AS block_bytes,
       current_setting('shared_buffers') AS shared_buffers,
       -- a crash empties all statistics: then a database says nothing of it, and the background writer this
       extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS counted_seconds
FROM pg_stat_bgwriter
