-- One line per client: its state, since when it waits, which server connection it has.
-- Needs: PgBouncer 1.12, a user of admin_users or stats_users.
SHOW CLIENTS
