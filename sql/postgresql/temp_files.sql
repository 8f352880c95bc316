-- Temporary files that exist now, by the process that writes them (those shared by parallel workers are not listed).
-- Needs: PostgreSQL 12, pg_monitor.
SELECT substring(name FROM '^pgsql_tmp([0-9]+)')::int AS pid,
       count(*)::bigint AS files,
       sum(size)::bigint AS size_bytes
FROM pg_ls_tmpdir()
WHERE name ~ '^pgsql_tmp[0-9]+'
GROUP BY 1
ORDER BY size_bytes DESC
LIMIT 20
