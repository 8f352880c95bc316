-- Let the clients of a paused or killed database go on.
-- Needs: PgBouncer 1.12, a user of admin_users.
RESUME {database}
