-- Set how many connections all pools keep open whose database has no number of its own, until a restart or RELOAD.
-- Needs: PgBouncer 1.12, a user of admin_users.
SET min_pool_size = '{size}'
