-- Purpose: what pg_stat_statements counted of each statement so far, without the texts, which lie in a file.
-- Needs: PostgreSQL 14; pg_read_all_stats (in pg_monitor): of others' statements queryid is NULL without it.
SELECT userid::bigint AS user_id,
       dbid::bigint AS database_id,
       queryid AS query_id,
       toplevel AS is_top,
       calls,
       total_exec_time AS total_ms,
       rows,
       shared_blks_hit AS blocks_hit,
       shared_blks_read AS blocks_read,
       temp_blks_read + temp_blks_written AS temp_blocks
FROM {function}(false)
WHERE calls > 0
LIMIT 50000
