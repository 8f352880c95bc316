-- Let new clients of a disabled database in again.
-- Needs: PgBouncer 1.12, a user of admin_users.
ENABLE {database}
