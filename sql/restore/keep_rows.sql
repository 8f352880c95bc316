-- In a scratch database: only the rows of a table for which a condition is true stay. As who owns the table: a condition
-- does no more than he may.
BEGIN;
SELECT quote_ident(pg_get_userbyid(relowner)) AS owner
FROM pg_class WHERE oid = format('%I.%I', :'schema', :'name')::regclass \gset
SET LOCAL ROLE :owner;
SET LOCAL search_path = public;
DELETE FROM :"schema".:"name" WHERE (:condition) IS NOT TRUE;
COMMIT
