-- Cut off all clients and connections of a database at once; new ones wait until RESUME.
-- Needs: PgBouncer 1.12, a user of admin_users.
KILL {database}
