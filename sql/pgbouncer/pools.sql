-- One line per database and user: clients that work or wait, servers by state, and how long the first one waits.
-- Needs: PgBouncer 1.12, a user of admin_users or stats_users.
SHOW POOLS
