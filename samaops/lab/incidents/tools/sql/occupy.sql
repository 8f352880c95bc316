-- Purpose: keep a connection of the pool for a moment. Needs: any role.
SELECT pg_sleep(0.4)
