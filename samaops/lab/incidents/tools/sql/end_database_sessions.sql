-- Purpose: end the sessions that keep a database from being renamed. Needs: superuser.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'samaconso'
