-- Purpose: whether an extension is in this database, in which schema, and could be put there; and, of
-- pg_stat_statements, whether the server loaded it at its start and what it counts.
-- Needs: PostgreSQL 12, any role.
SELECT current_database() AS database,
       (SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = %(name)s) AS schema,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = %(name)s) AS is_available,
       EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_statements.max') AS is_preloaded,
       current_setting('pg_stat_statements.track', true) AS track
