-- Settings by name, and those that wait for a restart.
-- Needs: PostgreSQL 12; a few settings are shown to pg_read_all_settings (in pg_monitor) only.
SELECT name,
       current_setting(name) AS shown,
       setting,
       unit,
       source,
       pending_restart
FROM pg_settings
WHERE name = ANY(%(names)s) OR pending_restart
