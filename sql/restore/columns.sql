-- What can be lost by a migration: each column of each table, as "schema.table.column", and each table by itself.
SELECT json_build_object('name', concat_ws('.', n.nspname, c.relname, a.attname))
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     CROSS JOIN LATERAL (SELECT NULL AS attname
                         UNION ALL
                         SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) a
WHERE relkind IN ('r', 'p') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
