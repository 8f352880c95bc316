-- Purpose: end one session, if it is still the one that was shown and does what it did, and wait until it has ended.
-- Needs: PostgreSQL 14, pg_signal_backend.
SELECT pg_terminate_backend(pid, %(wait_ms)s) AS is_done
FROM pg_stat_activity
WHERE pid = %(pid)s
  AND backend_start::text = %(started)s
  AND coalesce(query_start::text, '') = %(query_started)s
  AND state = %(state)s
