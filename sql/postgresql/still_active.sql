-- Purpose: does a session still work on the statement that was shown? Needs: pg_monitor.
SELECT 1 AS is_so
FROM pg_stat_activity
WHERE pid = %(pid)s
  AND backend_start::text = %(started)s
  AND query_start::text = %(query_started)s
  AND state = 'active'
