-- Purpose: the session idle in a transaction that blocks most others, also behind each other, for half a second.
-- Needs: pg_read_all_stats.
WITH RECURSIVE chain (root, pid) AS (
    SELECT pid, pid FROM pg_stat_activity WHERE state = 'idle in transaction'
    UNION
    SELECT chain.root, waiting.pid
    FROM chain
    JOIN pg_stat_activity AS waiting ON chain.pid = ANY (pg_blocking_pids(waiting.pid))
        AND waiting.query_start < clock_timestamp() - interval '0.5 s'
)
SELECT root, count(*) - 1 AS blocked
FROM chain
GROUP BY root
ORDER BY blocked DESC
LIMIT 1
