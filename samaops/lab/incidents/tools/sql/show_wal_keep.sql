-- Purpose: how much WAL PostgreSQL keeps by its setting, in MB, where it is any.
SELECT setting::integer FROM pg_settings WHERE name = 'wal_keep_size' AND setting::integer > 0
