-- Purpose: does the database exist? Needs: any role.
SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)
