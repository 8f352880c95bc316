-- Purpose: how far a session has come that builds or drops an index, and whom it waits for.
-- Needs: PostgreSQL 12, pg_monitor.
SELECT ours.wait_event_type = 'Lock' AS is_waiting,
       coalesce(building.phase, '') AS phase,
       building.blocks_total,
       building.blocks_done,
       other.pid,
       coalesce(other.usename::text, '') AS "user",
       coalesce(other.application_name, '') AS application,
       coalesce(host(other.client_addr), '') AS client,
       coalesce(other.state, other.backend_type, '') AS state,
       extract(epoch FROM clock_timestamp() - other.xact_start)::float8 AS seconds
FROM pg_stat_activity AS ours
LEFT JOIN pg_stat_progress_create_index AS building ON building.pid = ours.pid
LEFT JOIN LATERAL unnest(pg_blocking_pids(ours.pid)) AS blocker (pid) ON ours.wait_event_type = 'Lock'
LEFT JOIN pg_stat_activity AS other ON other.pid = blocker.pid
WHERE ours.pid = %(pid)s
ORDER BY seconds DESC NULLS LAST
LIMIT 1
