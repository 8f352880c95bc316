-- Settings in force.
-- Needs: PgBouncer 1.12, a user of admin_users or stats_users.
SHOW CONFIG
