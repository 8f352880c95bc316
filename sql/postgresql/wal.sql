-- Size of pg_wal, and how many segments still wait to be archived.
-- Needs: PostgreSQL 12, pg_monitor.
SELECT count(*)::bigint AS files,
       coalesce(sum(size), 0)::bigint AS size_bytes,
       (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready')::bigint AS waiting_to_archive
FROM pg_ls_waldir()
