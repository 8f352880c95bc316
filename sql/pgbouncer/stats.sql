-- Per database: rates and mean times of the last stats_period.
-- Needs: PgBouncer 1.12, a user of admin_users or stats_users.
SHOW STATS
