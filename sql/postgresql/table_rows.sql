-- Purpose: how many rows these tables have, as last noted, by the name that a plan gives them.
-- Needs: PostgreSQL 12, any role.
SELECT relname AS name, max(reltuples)::bigint AS rows, max(relpages)::bigint * current_setting('block_size')::bigint AS bytes
FROM pg_class
WHERE relname = ANY(%(names)s) AND relkind IN ('r', 'm')
GROUP BY relname
LIMIT 1000
