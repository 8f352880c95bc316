-- Purpose: stop our own statement in another session of ours. Needs: the same role.
SELECT pg_cancel_backend(%(pid)s) AS is_done
