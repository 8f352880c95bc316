-- Let go on what was paused or suspended as a whole; refused where nothing is.
-- Needs: PgBouncer 1.12, a user of admin_users.
RESUME
