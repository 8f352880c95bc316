-- How many connections there may be: of the server, of each database and of each role that has a limit of its own.
-- Needs: PostgreSQL 12, any role.
SELECT current_setting('max_connections')::int AS max_connections,
       current_setting('superuser_reserved_connections')::int AS reserved_for_superusers,
       coalesce(current_setting('reserved_connections', true), '0')::int AS reserved,  -- new in PostgreSQL 16
       (SELECT coalesce(jsonb_object_agg(datname, datconnlimit), '{}') FROM pg_database WHERE datconnlimit >= 0) AS of_database,
       (SELECT coalesce(jsonb_object_agg(rolname, rolconnlimit), '{}') FROM pg_roles WHERE rolconnlimit >= 0) AS of_user,
       current_user::text AS role
