-- One sample of what a statement costs, and how many rows each large table had read one after the other until now.
-- Needs: PostgreSQL 14, pg_read_all_stats; the extension pg_stat_statements in this database.
SELECT extract(epoch FROM clock_timestamp())::float8 AS at,
       coalesce(sum(calls), 0)::bigint AS calls,
       coalesce(sum(total_exec_time), 0)::float8 AS milliseconds,
       coalesce(sum(rows), 0)::bigint AS rows,
       coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint AS blocks,
       (SELECT coalesce(json_agg(scanned), '[]')
        FROM (SELECT s.schemaname || '.' || s.relname AS relation,
                     greatest(s.n_live_tup, c.reltuples)::bigint AS live_rows,
                     s.seq_tup_read AS rows_read
              FROM pg_stat_user_tables AS s
              JOIN pg_class AS c ON c.oid = s.relid
              WHERE greatest(s.n_live_tup, c.reltuples) >= 10000 -- a crash has set the statistics to zero
              ORDER BY s.seq_tup_read DESC
              LIMIT 50) AS scanned) AS scans
FROM pg_stat_statements
WHERE queryid = %(query_id)s::bigint
