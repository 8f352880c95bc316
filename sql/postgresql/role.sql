-- Purpose: the role with which samaops looks at the database and tends it. It is no superuser.
-- Needs: a superuser, once, with psql, which gives the names:
--   psql -d samaconso -v role=samaops -v owner=samaconso_user -f role.sql
-- Then give it a password that stands in no log: \password samaops
SELECT format('CREATE ROLE %I LOGIN', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
-- sees all sessions and statistics; cancels and ends clients' sessions; may ask for a checkpoint
GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO :"role";
-- vacuums, analyzes and reindexes what the application owns; PostgreSQL 15 gives that to owners alone
GRANT :"owner" TO :"role";

-- For `samaops db set` (PostgreSQL 15): what a DBA tunes without a restart, and nothing that loses data or locks out. Each name is a right
-- of its own; take out what this role shall not change.
GRANT ALTER SYSTEM ON PARAMETER
    work_mem, hash_mem_multiplier, maintenance_work_mem, autovacuum_work_mem, effective_cache_size,
    random_page_cost, seq_page_cost, effective_io_concurrency, maintenance_io_concurrency, default_statistics_target, jit,
    max_parallel_workers, max_parallel_workers_per_gather, max_parallel_maintenance_workers,
    max_wal_size, min_wal_size, wal_keep_size, wal_compression, synchronous_commit, commit_delay,
    checkpoint_timeout, checkpoint_completion_target, checkpoint_flush_after,
    bgwriter_delay, bgwriter_lru_maxpages, bgwriter_lru_multiplier,
    autovacuum, autovacuum_naptime, autovacuum_vacuum_threshold, autovacuum_vacuum_scale_factor,
    autovacuum_vacuum_insert_threshold, autovacuum_vacuum_insert_scale_factor, autovacuum_analyze_threshold,
    autovacuum_analyze_scale_factor, autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit,
    vacuum_cost_delay, vacuum_cost_limit,
    log_min_duration_statement, log_lock_waits, log_temp_files, log_checkpoints, log_autovacuum_min_duration,
    track_io_timing, deadlock_timeout, statement_timeout, lock_timeout, temp_file_limit,
    idle_in_transaction_session_timeout, idle_session_timeout
TO :"role";
-- what was written takes effect
GRANT EXECUTE ON FUNCTION pg_reload_conf() TO :"role";
-- sees before that a file has a fault, with which a reload changes nothing, and what stood there, for undo
GRANT SELECT ON pg_file_settings TO :"role";
GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO :"role";

-- For `samaops db slot drop` alone. It also lets the role copy the whole cluster (pg_basebackup), where pg_hba.conf lets it in for replication:
-- without it that verb says so, and what a superuser types.
-- ALTER ROLE :"role" REPLICATION;
