-- Purpose: how large each database is, as the server itself counts its files.
-- Needs: PostgreSQL 12; of databases that one may not connect to, pg_read_all_stats (in pg_monitor): else NULL.
SELECT datname AS name,
       datname = current_database() AS is_ours,
       CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_database_size(oid) END AS size_bytes
FROM pg_database
WHERE datallowconn
ORDER BY size_bytes DESC NULLS FIRST, name
LIMIT 200
