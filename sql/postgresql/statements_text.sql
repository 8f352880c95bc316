-- Purpose: the texts of a few statements, as pg_stat_statements normalized them, and whose they are.
-- Needs: PostgreSQL 14; pg_read_all_stats (in pg_monitor), else the text is '<insufficient privilege>'.
SELECT queryid AS query_id,
       userid::bigint AS user_id,
       dbid::bigint AS database_id,
       pg_get_userbyid(userid)::text AS "user",
       datname AS database,
       left(query, %(characters)s) AS query
FROM {function}(true)
LEFT JOIN pg_database ON pg_database.oid = dbid
WHERE queryid = ANY(%(ids)s)
LIMIT 1000
