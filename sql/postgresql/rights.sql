-- Who we are, where, and what is hidden from us.
-- Needs: PostgreSQL 12, any role.
SELECT current_user::text AS role,
       current_database()::text AS database,
       pg_has_role('pg_read_all_stats', 'USAGE') AS sees_sessions,
       pg_has_role('pg_read_all_settings', 'USAGE') AS sees_settings
