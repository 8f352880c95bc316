-- What vacuums, analyzes, builds an index, rewrites a table, copies or takes a base backup now, and how far it is.
-- Needs: PostgreSQL 14, pg_read_all_stats (in pg_monitor; others see that it runs, and nothing of it).
SELECT work.command,
       pid,
       work.datname::text AS database,
       -- names are known of this database and of what all databases share
       CASE WHEN coalesce(relid, 0) = 0 THEN NULL
            WHEN work.datname = current_database() THEN coalesce(nspname || '.' || relname, relid::text)
            ELSE relid::text END AS relation,
       counters,
       usename::text AS "user",
       application_name AS application,
       host(client_addr) AS client,
       backend_type,
       wait_event_type,
       wait_event,
       extract(epoch FROM clock_timestamp() - coalesce(xact_start, query_start, backend_start))::float8 AS seconds,
       extract(epoch FROM clock_timestamp())::float8 AS at,
       query
FROM (
    SELECT 'vacuum' AS command, pid, datname, relid, to_jsonb(p) AS counters FROM pg_stat_progress_vacuum AS p
    UNION ALL
    SELECT 'analyze', pid, datname, relid, to_jsonb(p) FROM pg_stat_progress_analyze AS p
    UNION ALL
    SELECT 'create index', pid, datname, relid, to_jsonb(p) FROM pg_stat_progress_create_index AS p
    UNION ALL
    SELECT 'cluster', pid, datname, relid, to_jsonb(p) FROM pg_stat_progress_cluster AS p
    UNION ALL
    SELECT 'base backup', pid, NULL, NULL, to_jsonb(p) FROM pg_stat_progress_basebackup AS p
    UNION ALL
    SELECT 'copy', pid, datname, relid, to_jsonb(p) FROM pg_stat_progress_copy AS p
) AS work
LEFT JOIN pg_stat_activity USING (pid)
LEFT JOIN pg_class ON pg_class.oid = relid
LEFT JOIN pg_namespace ON pg_namespace.oid = relnamespace
ORDER BY seconds DESC NULLS LAST
LIMIT 200
