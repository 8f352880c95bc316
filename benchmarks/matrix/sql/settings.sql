-- Purpose: every setting of the server and of a role or a database. Needs: PostgreSQL 12, pg_read_all_settings.
SELECT name, setting
FROM pg_settings
WHERE context <> 'internal' AND source NOT IN ('session', 'client')
UNION ALL
SELECT 'for role ' || setrole || ' in database ' || setdatabase, setconfig::text
FROM pg_db_role_setting;
