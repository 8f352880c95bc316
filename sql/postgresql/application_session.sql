-- Purpose: the session that the application gets through the pool: whose, where, and whether it may write; and in which
-- schemas there are tables when search_path leads to none of them.
-- Needs: PostgreSQL 14, any role.
WITH tables AS (
    SELECT n.nspname, pg_table_is_visible(c.oid) AS is_visible
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND has_schema_privilege(n.oid, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.objid = c.oid AND e.deptype = 'e')
)
SELECT current_user::text AS "user",
       current_database()::text AS database,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS server_started_at,
       pg_is_in_recovery() AS in_recovery,
       current_setting('transaction_read_only')::bool AS is_read_only,
       current_setting('search_path') AS search_path,
       ARRAY(
           SELECT nspname::text FROM tables GROUP BY nspname
           HAVING NOT (SELECT bool_or(is_visible) FROM tables) ORDER BY 1 LIMIT 3
       ) AS led_past
