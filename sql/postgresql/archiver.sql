-- Whether archive_command works: the last success and the last failure.
-- Needs: PostgreSQL 12, any role.
SELECT current_setting('archive_mode') AS mode,
       archived_count::bigint AS archived,
       failed_count::bigint AS failed,
       last_failed_wal,
       extract(epoch FROM clock_timestamp() - last_archived_time)::float8 AS archived_seconds,
       extract(epoch FROM clock_timestamp() - last_failed_time)::float8 AS failed_seconds,
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS last_attempt_failed
FROM pg_stat_archiver
