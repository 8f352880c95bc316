-- Purpose: cancel the statement that one session works on, if it is still the one that was shown. Needs: pg_signal_backend.
SELECT pg_cancel_backend(pid) AS is_done
FROM pg_stat_activity
WHERE pid = %(pid)s
  AND backend_start::text = %(started)s
  AND query_start::text = %(query_started)s
  AND state = 'active'
