-- Whether this very session still holds the lock of one site.
-- Needs: PostgreSQL 9.1.
SELECT count(*) > 0
FROM pg_locks
WHERE locktype = 'advisory'
  AND granted
  AND pid = pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((classid::bigint << 32) | objid::bigint) = :key
