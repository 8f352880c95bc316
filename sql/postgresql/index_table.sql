-- One table that is to get an index: its columns as they are quoted, its indexes, how large it is, what we may.
-- Needs: PostgreSQL 13, any role (pg_stats shows widths of what we may read).
SELECT namespace.nspname::text AS schema,
       of_table.relname::text AS name,
       format('%%I.%%I', namespace.nspname, of_table.relname) AS relation,
       of_table.relkind::text AS kind,
       pg_has_role(of_table.relowner, 'USAGE') AS is_ours,
       pg_get_userbyid(of_table.relowner)::text AS owner,
       has_schema_privilege(namespace.oid, 'CREATE') AS may_create,
       greatest(of_table.reltuples, 0)::bigint AS rows,
       pg_relation_size(of_table.oid) AS size_bytes,
       (SELECT jsonb_object_agg(attname, jsonb_build_object(
                   'quoted', quote_ident(attname),
                   'width', (SELECT avg_width FROM pg_stats
                             WHERE schemaname = namespace.nspname AND tablename = of_table.relname
                               AND pg_stats.attname = pg_attribute.attname AND NOT inherited),
                   'has_order', EXISTS (SELECT FROM pg_opclass JOIN pg_am ON pg_am.oid = opcmethod
                                        WHERE amname = 'btree' AND opcdefault
                                          AND (opcintype = atttypid
                                               OR EXISTS (SELECT FROM pg_cast WHERE castsource = atttypid
                                                          AND casttarget = opcintype AND castmethod = 'b')
                                               OR typtype IN ('e', 'd', 'r', 'm') OR typelem <> 0))))
        FROM pg_attribute
        JOIN pg_type ON pg_type.oid = atttypid
        WHERE attrelid = of_table.oid AND attnum > 0 AND NOT attisdropped) AS columns,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'name', relname,
                   'is_valid', indisvalid AND indisready,
                   'is_unique', indisunique,
                   'is_plain', indpred IS NULL AND indexprs IS NULL AND amname = 'btree',
                   'columns', ARRAY(SELECT attname FROM unnest(indkey[0:indnkeyatts - 1]) WITH ORDINALITY AS key (number, position)
                                    JOIN pg_attribute ON attrelid = indrelid AND attnum = key.number
                                    ORDER BY position))), '[]')
        FROM pg_index
        JOIN pg_class ON pg_class.oid = indexrelid
        JOIN pg_am ON pg_am.oid = relam
        WHERE indrelid = of_table.oid) AS indexes
FROM pg_class AS of_table
JOIN pg_namespace AS namespace ON namespace.oid = of_table.relnamespace
WHERE of_table.oid = to_regclass(%(name)s)
