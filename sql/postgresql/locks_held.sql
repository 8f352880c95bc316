-- For every session that waits for a lock: who has locks on the same thing, and which. Of those without a pid, which
-- are prepared transactions, also the names: pg_blocking_pids calls each of them 0.
-- Needs: PostgreSQL 14, any role.
WITH held AS MATERIALIZED (
    SELECT pid, mode, granted, virtualtransaction, locktype, transactionid,
           concat_ws('/', locktype, coalesce(database, 0), coalesce(relation, 0), coalesce(page, -1), coalesce(tuple, -1),
                     virtualxid, transactionid, coalesce(classid, 0), coalesce(objid, 0), objsubid) AS thing
    FROM pg_locks
)
SELECT waiting.pid,
       holding.pid AS holder,
       gid,
       owner::text AS owner,
       pg_prepared_xacts.database::text AS database,
       extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds,
       array_agg(DISTINCT holding.mode ORDER BY holding.mode) AS modes
FROM held AS waiting
JOIN held AS holding ON holding.granted AND holding.thing = waiting.thing
-- a prepared transaction is known by the lock on its own number, and keeps the name that its session had
LEFT JOIN held AS own ON holding.pid IS NULL AND own.pid IS NULL AND own.virtualtransaction = holding.virtualtransaction
                     AND own.locktype = 'transactionid' AND own.mode = 'ExclusiveLock'
LEFT JOIN pg_prepared_xacts ON transaction = own.transactionid
WHERE NOT waiting.granted
GROUP BY waiting.pid, holding.pid, gid, owner, pg_prepared_xacts.database, prepared
LIMIT 2000
