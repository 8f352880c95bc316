-- Which server this is, since when it runs, and whether our role may see everything.
-- Needs: PostgreSQL 14, any role.
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_number,
       pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS uptime_seconds,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS started_at,
       current_user::text AS role,
       pg_has_role(current_user, 'pg_monitor', 'USAGE') AS is_monitor
