-- Purpose: rows of the load that nobody analysed. Needs: any role.
SELECT n_mod_since_analyze FROM pg_stat_user_tables WHERE relname = 'import_releves' AND last_analyze IS NULL
