-- Purpose: let the server read its configuration again. Needs: superuser.
SELECT pg_reload_conf()
