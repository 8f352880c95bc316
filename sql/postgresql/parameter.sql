-- One setting: what it is and may be, where its value comes from, what a role or database has in its place, what we may.
-- Needs: PostgreSQL 15, pg_read_all_settings (in pg_monitor) for the file that a value comes from.
SELECT pg_settings.name,
       current_setting(pg_settings.name) AS shown,
       coalesce(unit, '') AS unit,
       context,
       vartype AS type,
       min_val AS least,
       max_val AS most,
       coalesce(enumvals, '{}') AS values,
       source,
       coalesce(sourcefile, '') AS file,
       pg_conf_load_time()::text AS loaded,
       has_parameter_privilege(pg_settings.name, 'ALTER SYSTEM') AS may_alter,
       has_function_privilege('pg_reload_conf()', 'EXECUTE') AS may_reload,
       has_table_privilege('pg_file_settings', 'SELECT')
           AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') AS may_read_files,
       ARRAY(SELECT concat_ws(' in ', nullif(pg_get_userbyid(nullif(setrole, 0)), ''), datname) || ': '
                    || substr(entry, strpos(entry, '=') + 1)
             FROM pg_db_role_setting
             LEFT JOIN pg_database ON pg_database.oid = setdatabase,
                  unnest(setconfig) AS entry
             WHERE lower(split_part(entry, '=', 1)) = lower(pg_settings.name)
             LIMIT 20) AS overrides
FROM pg_settings
WHERE lower(pg_settings.name) = lower(%(name)s)
