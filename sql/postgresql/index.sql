-- One index, as a change must know it: what it enforces or identifies, who uses it, since when that is counted.
-- Needs: PostgreSQL 15, any role. "on" is its definition from there on, as the server writes it.
SELECT of_index.oid::bigint AS oid,
       namespace.nspname::text AS schema,
       of_index.relname::text AS name,
       format('%%I.%%I', table_namespace.nspname, of_table.relname) AS relation,
       pg_get_indexdef(of_index.oid) AS definition,
       substr(pg_get_indexdef(of_index.oid),
              length(format('CREATE %%sINDEX %%I ', CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END, of_index.relname)) + 1
       ) AS "on",
       coalesce(spcname::text, '') AS tablespace,
       indisvalid AND indisready AS is_valid,
       indisunique AS is_unique,
       indisprimary AS is_primary,
       indisreplident AS is_replica_identity,
       of_index.relkind = 'I' AS is_partitioned,
       of_index.relispartition AS is_partition,
       of_index.relkind = 'i' AND namespace.nspname ~ '^pg_|^information_schema$' AS is_of_system,
       EXISTS (SELECT FROM pg_depend WHERE objid = of_index.oid AND classid = 'pg_class'::regclass AND deptype = 'e')
           AS is_of_extension,
       coalesce((SELECT conname::text FROM pg_constraint
                 WHERE conindid = of_index.oid AND contype IN ('p', 'u', 'x') LIMIT 1), '') AS constraint,
       ARRAY(SELECT format('%%s on %%s', conname, conrelid::regclass) FROM pg_constraint
             WHERE conindid = of_index.oid AND contype = 'f' LIMIT 20) AS referenced_by,
       -- foreign keys whose rows are looked for by it when what they refer to is deleted
       ARRAY(SELECT conname::text FROM pg_constraint
             WHERE conrelid = indrelid AND contype = 'f' AND conkey[1] = indkey[0] LIMIT 20) AS serves_keys,
       pg_has_role(of_table.relowner, 'USAGE') AS may_change,
       pg_get_userbyid(of_table.relowner)::text AS owner,
       pg_relation_size(of_index.oid) AS size_bytes,
       coalesce(idx_scan, 0) AS scans,
       extract(epoch FROM clock_timestamp() - greatest(database.stats_reset, bgwriter.stats_reset))::float8 AS counted_seconds,
       -- a crash takes all statistics, and leaves no other trace than that all of them begin with this start
       coalesce(bgwriter.stats_reset >= pg_postmaster_start_time() - interval '1 minute', true) AS is_counted_since_start
FROM pg_index
JOIN pg_class AS of_index ON of_index.oid = indexrelid
JOIN pg_namespace AS namespace ON namespace.oid = of_index.relnamespace
JOIN pg_class AS of_table ON of_table.oid = indrelid
JOIN pg_namespace AS table_namespace ON table_namespace.oid = of_table.relnamespace
LEFT JOIN pg_tablespace ON pg_tablespace.oid = of_index.reltablespace
LEFT JOIN pg_stat_all_indexes AS usage ON usage.indexrelid = of_index.oid
LEFT JOIN pg_stat_database AS database ON datname = current_database()
CROSS JOIN pg_stat_bgwriter AS bgwriter
WHERE of_index.oid = to_regclass(%(name)s)
