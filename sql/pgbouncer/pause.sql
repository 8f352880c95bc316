-- Let the transactions of a database end and give no connection of it to anybody until RESUME; waits until that is so.
-- Needs: PgBouncer 1.12, a user of admin_users.
PAUSE {database}
