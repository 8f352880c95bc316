-- Purpose: how many sessions of a program do this: a state, or what they wait for. Needs: pg_read_all_stats.
SELECT count(*) FROM pg_stat_activity
WHERE application_name = %(application_name)s AND %(doing)s IN (state, wait_event_type)
