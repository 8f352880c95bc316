-- Set the size of all pools whose database has none of its own, until a restart or RELOAD.
-- Needs: PgBouncer 1.12, a user of admin_users.
SET default_pool_size = '{size}'
