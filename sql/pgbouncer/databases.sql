-- Databases and their limits; whether each is paused or disabled.
-- Needs: PgBouncer 1.12, a user of admin_users or stats_users.
SHOW DATABASES
