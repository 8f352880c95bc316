-- Purpose: how far one session's vacuum, analyze or rebuild has come, and who stands before it. Needs: pg_monitor.
SELECT activity.state,
       coalesce(vacuum.phase, analyzing.phase, building.phase, cluster.phase) AS phase,
       coalesce(vacuum.heap_blks_total, analyzing.sample_blks_total, building.blocks_total, cluster.heap_blks_total)::bigint AS total,
       coalesce(vacuum.heap_blks_scanned, analyzing.sample_blks_scanned, building.blocks_done, cluster.heap_blks_scanned)::bigint AS done,
       building.index_relid::bigint AS index_oid,
       coalesce(activity.wait_event_type = 'Lock', false) AS is_waiting,
       coalesce(blocker.pid, 0) AS blocker,
       blocker.usename AS "user",
       blocker.application_name AS application,
       coalesce(host(blocker.client_addr), blocker.backend_type) AS client,
       extract(epoch FROM clock_timestamp() - blocker.xact_start)::float8 AS seconds
FROM pg_stat_activity AS activity
LEFT JOIN pg_stat_progress_vacuum AS vacuum ON vacuum.pid = activity.pid
LEFT JOIN pg_stat_progress_analyze AS analyzing ON analyzing.pid = activity.pid
LEFT JOIN pg_stat_progress_create_index AS building ON building.pid = activity.pid
LEFT JOIN pg_stat_progress_cluster AS cluster ON cluster.pid = activity.pid
LEFT JOIN LATERAL (
    SELECT pid FROM unnest(CASE WHEN activity.wait_event_type = 'Lock' THEN pg_blocking_pids(activity.pid) ELSE '{}' END) AS pid
    ORDER BY pid DESC LIMIT 1
) AS first ON true
LEFT JOIN pg_stat_activity AS blocker ON blocker.pid = first.pid
WHERE activity.pid = %(pid)s
