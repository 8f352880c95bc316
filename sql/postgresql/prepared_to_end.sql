-- Prepared transactions, whether we may end each of them, and which sessions wait for a lock that it holds.
-- Needs: PostgreSQL 14, any role. A role is its owner's member or a superuser, and acts as the owner then.
WITH held AS MATERIALIZED (
    SELECT * FROM pg_locks
), conflict (wanted, held) AS (
    VALUES ('AccessShareLock', '{AccessExclusiveLock}'::text[]),
           ('RowShareLock', '{ExclusiveLock,AccessExclusiveLock}'),
           ('RowExclusiveLock', '{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareUpdateExclusiveLock',
            '{ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareLock', '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ShareRowExclusiveLock',
            '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
           ('ExclusiveLock', '{RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,'
                             'ExclusiveLock,AccessExclusiveLock}'),
           ('AccessExclusiveLock', '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,'
                                   'ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
)
SELECT gid,
       prepared::text AS started,
       owner::text AS owner,
       database::text AS database,
       database = current_database() AS is_here,
       pg_has_role(owner, 'MEMBER') AS may_end,
       extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds,
       ARRAY(
           SELECT DISTINCT waits.pid
           FROM held AS waits
           JOIN conflict ON conflict.wanted = waits.mode
           -- its locks have no process; that on its own number tells under which name they stand
           JOIN held AS own
               ON own.pid IS NULL AND own.granted AND own.locktype = 'transactionid'
               AND own.transactionid = pg_prepared_xacts.transaction
           JOIN held AS has
               ON has.pid IS NULL AND has.granted AND has.virtualtransaction = own.virtualtransaction
               AND has.mode = ANY(conflict.held)
               AND (has.locktype, has.database, has.relation, has.page, has.tuple, has.transactionid, has.classid, has.objid,
                    has.objsubid)
                   IS NOT DISTINCT FROM
                   (waits.locktype, waits.database, waits.relation, waits.page, waits.tuple, waits.transactionid,
                    waits.classid, waits.objid, waits.objsubid)
           WHERE NOT waits.granted AND waits.pid IS NOT NULL
       ) AS blocks
FROM pg_prepared_xacts
ORDER BY prepared
LIMIT 200
