-- The settings in force and where each is from, as they are kept with a backup. Needs: PostgreSQL 14; the superuser.
SELECT name, setting, unit, source, sourcefile, sourceline
FROM pg_settings
ORDER BY name
