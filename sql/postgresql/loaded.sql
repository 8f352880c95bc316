-- Purpose: when were the configuration files read that this session goes by? Needs: any role.
SELECT pg_conf_load_time()::text AS loaded
