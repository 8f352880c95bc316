-- Purpose: sessions idle in a transaction that block others, and how many each. Needs: pg_read_all_stats.
SELECT holder.pid, count(*) AS blocked
FROM pg_stat_activity AS waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
JOIN pg_stat_activity AS holder ON holder.pid = blocking.pid
WHERE holder.state = 'idle in transaction'
GROUP BY holder.pid
ORDER BY blocked DESC
LIMIT 1
