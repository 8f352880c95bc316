-- One line per connection to PostgreSQL: its process there, its state, which client it works for.
-- Needs: PgBouncer 1.12, a user of admin_users or stats_users.
SHOW SERVERS
