-- Purpose: cancel what another session of our own role does. Needs: to be that role.
SELECT pg_cancel_backend(%(pid)s) AS is_done
