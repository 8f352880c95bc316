-- Purpose: start the counters after the load, so that they tell of service and not of filling. Needs: superuser.
SELECT pg_stat_reset(), pg_stat_reset_shared('bgwriter'), pg_stat_reset_shared('wal'), pg_stat_statements_reset()
