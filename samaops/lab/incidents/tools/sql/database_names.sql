-- Purpose: which of the two names the application's database has. Needs: any role.
SELECT datname FROM pg_database WHERE datname IN ('samaconso', 'samaconso_before_restore')
