-- Purpose: dead versions of notifications. Needs: any role.
SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'notifications'
