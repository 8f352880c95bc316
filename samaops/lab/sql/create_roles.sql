-- Purpose: the application's role, and that of samaops as sql/postgresql/role.sql makes it. Needs: superuser; the passwords in the session's
-- settings samaops_lab.password and samaops_lab.monitoring_password.
DO $roles$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'samaconso_user') THEN
        EXECUTE format('CREATE ROLE samaconso_user LOGIN PASSWORD %L', current_setting('samaops_lab.password'));
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'samaops') THEN
        EXECUTE format(
            'CREATE ROLE samaops LOGIN PASSWORD %L',
            current_setting('samaops_lab.monitoring_password')
        );
    END IF;
    GRANT pg_monitor, pg_signal_backend, pg_checkpoint, samaconso_user TO samaops;
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
    TO samaops;
    ALTER ROLE samaops REPLICATION;
END
$roles$;
