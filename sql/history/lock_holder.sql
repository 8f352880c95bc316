-- The backend that holds the lock of one site.
-- Needs: PostgreSQL 9.1.
SELECT pid
FROM pg_locks
WHERE locktype = 'advisory'
  AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((classid::bigint << 32) | objid::bigint) = :key
