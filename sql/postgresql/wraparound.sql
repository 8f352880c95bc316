-- How old the oldest transaction ids and multixacts are: of each database, and of the oldest 200 tables of this one.
-- Needs: PostgreSQL 12, any role.
SELECT 'database' AS of,
       datname::text AS name,
       age(datfrozenxid)::bigint AS xid_age,
       mxid_age(datminmxid)::bigint AS multixact_age,
       current_setting('autovacuum_freeze_max_age')::bigint AS xid_forced_at,
       current_setting('autovacuum_multixact_freeze_max_age')::bigint AS multixact_forced_at,
       NULL::bigint AS bytes
FROM pg_database
UNION ALL
(SELECT CASE WHEN relkind = 't' THEN 'toast' ELSE 'table' END,
        coalesce(owner, nspname || '.' || relname),
        age(relfrozenxid)::bigint,
        mxid_age(relminmxid)::bigint,
        -- a table may be forced earlier than all others, and never later
        least(own_xid, current_setting('autovacuum_freeze_max_age')::bigint),
        least(own_multixact, current_setting('autovacuum_multixact_freeze_max_age')::bigint),
        relpages * current_setting('block_size')::bigint
 FROM (SELECT pg_class.*,
              nspname,
              (SELECT option_value::bigint FROM pg_options_to_table(reloptions)
               WHERE option_name = 'autovacuum_freeze_max_age') AS own_xid,
              (SELECT option_value::bigint FROM pg_options_to_table(reloptions)
               WHERE option_name = 'autovacuum_multixact_freeze_max_age') AS own_multixact,
              owner
       FROM pg_class
       JOIN pg_namespace ON pg_namespace.oid = relnamespace
       LEFT JOIN (SELECT reltoastrelid AS toast, nspname || '.' || relname AS owner
                  FROM pg_class
                  JOIN pg_namespace ON pg_namespace.oid = relnamespace
                  WHERE reltoastrelid <> 0) AS owning ON toast = pg_class.oid
       WHERE relkind IN ('r', 't', 'm') AND relfrozenxid <> '0') AS relation
 ORDER BY greatest(
     age(relfrozenxid) / least(own_xid, current_setting('autovacuum_freeze_max_age')::bigint)::float8,
     mxid_age(relminmxid) / least(own_multixact, current_setting('autovacuum_multixact_freeze_max_age')::bigint)::float8
 ) DESC
 LIMIT 200)
