-- Purpose: who keeps the oldest rows alive, and so holds back a vacuum. Needs: PostgreSQL 12, pg_monitor.
SELECT * FROM (
    SELECT age(backend_xmin)::bigint AS xids, 'pid ' || pid AS name, usename::text AS "user", application_name AS application,
           coalesce(host(client_addr), backend_type) AS client,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
    FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND (datname = current_database() OR backend_type = 'walsender')
    UNION ALL
    SELECT age(transaction), 'prepared ' || gid, owner::text, '', '', extract(epoch FROM clock_timestamp() - prepared)::float8
    FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL
    SELECT greatest(age(xmin), age(catalog_xmin)), 'slot ' || slot_name, '', '', '', NULL
    FROM pg_replication_slots WHERE xmin IS NOT NULL
) AS holder
ORDER BY xids DESC
LIMIT 1
