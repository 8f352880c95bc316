-- What the configuration files say of one setting, and what in them is wrong: of that, names that no server knows and what
-- cannot be read at all make a reload change nothing.
-- Needs: SELECT on pg_file_settings and EXECUTE on pg_show_all_file_settings(): sql/postgresql/role.sql.
SELECT sourcefile AS file,
       sourceline AS line,
       coalesce(name, '') AS name,
       setting AS value,
       sourcefile LIKE '%%/postgresql.auto.conf' AS is_auto,
       applied AS is_applied,
       coalesce(error, '') AS error,
       error IS NOT NULL AND NOT EXISTS (
           SELECT FROM pg_settings WHERE lower(pg_settings.name) = lower(pg_file_settings.name)
       ) AS stops_reload
FROM pg_file_settings
WHERE error IS NOT NULL OR lower(name) = lower(%(name)s)
ORDER BY seqno
LIMIT 100
