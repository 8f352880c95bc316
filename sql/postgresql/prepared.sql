-- Prepared transactions: they hold locks and old rows until somebody ends them, even over a restart.
-- Needs: PostgreSQL 12, any role.
SELECT gid,
       owner::text AS owner,
       database::text AS database,
       extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds,
       age(transaction)::bigint AS xid_age
FROM pg_prepared_xacts
ORDER BY prepared
LIMIT 50
