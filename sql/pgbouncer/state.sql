-- Whether the whole of PgBouncer is active, paused or suspended; SHOW DATABASES does not tell.
-- Needs: PgBouncer 1.19, a user of admin_users or stats_users.
SHOW STATE
