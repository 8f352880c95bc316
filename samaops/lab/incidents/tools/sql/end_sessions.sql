-- Purpose: end the sessions that an incident opened, by their application name. Needs: pg_signal_backend.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %(application_name)s
