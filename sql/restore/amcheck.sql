-- Read every B-tree against its table: each row must be in it. In a schema of its own, in a throw-away database only.
CREATE SCHEMA samaops_amcheck;
CREATE EXTENSION amcheck SCHEMA samaops_amcheck;
SELECT format('SELECT json_build_object(''checked'', %L) FROM (SELECT samaops_amcheck.bt_index_check(%s, true)) AS checked',
              c.oid::regclass, c.oid)
FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE amname = 'btree' AND indisvalid AND relpersistence = 'p' AND relkind = 'i'
\gexec
