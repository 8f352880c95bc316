-- Purpose: sessions that should not be there for long: idle in a transaction, waiting for a lock, or of nobody known.
-- Needs: PostgreSQL 12, pg_read_all_stats.
SELECT coalesce(usename, backend_type) || ' ' || coalesce(application_name, '') || ' ' || coalesce(state, ''),
       count(*)::text
FROM pg_stat_activity
WHERE backend_type = 'client backend'
  AND (wait_event_type = 'Lock'
       OR state LIKE 'idle in transaction%' AND state_change < now() - interval '3 seconds'
       OR coalesce(application_name, '') NOT IN ('', 'samaops', 'samaops lab') AND xact_start < now() - interval '3 seconds')
GROUP BY 1
UNION ALL
SELECT 'locks not granted', count(*)::text
FROM pg_locks
WHERE NOT granted;
