-- The objects to which rows point, each once, as BUCKET/KEY, in the order of their bytes: what a query of the site gives, read only.
SET default_transaction_read_only = on;
SELECT to_json(path)
FROM (SELECT DISTINCT path COLLATE "C" AS path FROM (:query) AS rows (path) WHERE path IS NOT NULL) AS paths
ORDER BY path
