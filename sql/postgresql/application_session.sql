-- Purpose: the session that the application gets through the pool: whose, where, and whether it may write.
-- Needs: PostgreSQL 14, any role.
SELECT current_user::text AS "user",
       current_database()::text AS database,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS server_started_at,
       pg_is_in_recovery() AS in_recovery,
       current_setting('transaction_read_only')::bool AS is_read_only,
       current_setting('search_path') AS search_path
