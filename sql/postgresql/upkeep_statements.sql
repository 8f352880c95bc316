-- Purpose: how often statements that name a table ran, and how long in all, since they were counted. Needs: the extension
-- pg_stat_statements in this database, pg_read_all_stats.
SELECT coalesce(sum(calls), 0)::bigint AS calls,
       round(coalesce(sum(total_exec_time), 0))::bigint AS milliseconds
FROM pg_stat_statements
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND strpos(query, %(name)s) > 0
  AND query !~* '^\s*(vacuum|analyze|reindex|create|drop|alter)\M'
