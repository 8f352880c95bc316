-- Put a database in a place that is empty: the old one is lost.
BEGIN;
ALTER DATABASE :"incoming" RENAME TO :"live";
ALTER DATABASE :"live" WITH ALLOW_CONNECTIONS true;
SELECT format('COMMENT ON DATABASE %I IS %s', :'live', CASE WHEN :has_comment THEN quote_literal(:'comment') ELSE 'NULL' END)
\gexec
COMMIT
