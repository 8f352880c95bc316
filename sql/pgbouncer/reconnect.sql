-- Replace each connection of a database to PostgreSQL once its transaction has ended.
-- Needs: PgBouncer 1.12, a user of admin_users.
RECONNECT {database}
