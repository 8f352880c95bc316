-- Purpose: how many notifications were due within an hour that ended five minutes ago, and how many of them are published.
-- Needs: PostgreSQL 10, SELECT on the two columns.
-- The names in braces are those of the configuration, quoted.
SELECT count(*) AS due, count({published}) AS sent
FROM {table}
WHERE {due} > now() - interval '65 minutes' AND {due} <= now() - interval '5 minutes'
