-- Refuse new clients of a database; those that are connected stay.
-- Needs: PgBouncer 1.12, a user of admin_users.
DISABLE {database}
