-- Purpose: where the server keeps its data, and whether it has tablespaces elsewhere.
-- Needs: PostgreSQL 12; the place is shown to pg_read_all_settings (in pg_monitor) only: else NULL.
SELECT (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS directory,
       (SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global'))::int AS tablespaces
