-- All settings with where each comes from.
-- Needs: PostgreSQL 12; a few settings, and every file and line, are shown to pg_read_all_settings (in pg_monitor) only.
SELECT name,
       current_setting(name) AS shown,
       setting,
       unit,
       source,
       sourcefile AS file,
       sourceline AS line,
       boot_val AS default,
       context,
       pending_restart,
       short_desc AS description,
       pg_has_role('pg_read_all_settings', 'USAGE') AS sees_all
FROM pg_settings
ORDER BY name
LIMIT 2000
