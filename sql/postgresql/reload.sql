-- Purpose: let the server read its configuration files again. Needs: EXECUTE on pg_reload_conf().
SELECT pg_reload_conf() AS is_done
