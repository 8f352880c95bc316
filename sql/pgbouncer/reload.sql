-- Read the configuration file again. It answers RELOAD also where it could not read it.
-- Needs: PgBouncer 1.12, a user of admin_users.
RELOAD
