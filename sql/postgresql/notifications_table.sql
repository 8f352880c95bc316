-- Purpose: is there a table of notifications, may we read its two columns, and can that be quick?
-- Needs: PostgreSQL 10, any role.
WITH wanted AS (
    -- What is no plain table has no size of its own: only an index makes it quick.
    SELECT oid, CASE relkind WHEN 'r' THEN pg_relation_size(oid) ELSE 9223372036854775807 END AS size_bytes
    FROM pg_class WHERE oid = to_regclass(%(table)s)
), found AS (
    SELECT a.attrelid, a.attnum, a.attname
    FROM pg_attribute AS a JOIN wanted AS w ON a.attrelid = w.oid
    WHERE a.attname IN (%(due)s, %(published)s) AND NOT a.attisdropped
)
SELECT
    (SELECT size_bytes FROM wanted) AS size_bytes,
    (SELECT count(*) FROM found) AS columns,
    coalesce((SELECT bool_and(has_column_privilege(attrelid, attnum, 'SELECT')) FROM found), false) AS is_permitted,
    EXISTS (
        SELECT FROM pg_index AS i JOIN found AS f ON f.attrelid = i.indrelid AND f.attnum = i.indkey[0]
        WHERE f.attname = %(due)s AND i.indisvalid AND i.indpred IS NULL
    ) AS has_index
