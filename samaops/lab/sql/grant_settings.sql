-- Purpose: what sql/postgresql/role.sql grants in the application's database itself. Needs: superuser, in that database.
GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_show_all_file_settings() TO samaops;
GRANT SELECT ON pg_file_settings TO samaops;
