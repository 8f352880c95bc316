-- Purpose: one relation as it is before and after its upkeep. Needs: PostgreSQL 13, any role.
SELECT pg_class.oid::bigint AS oid,
       pg_relation_size(pg_class.oid)::bigint AS size_bytes,
       (pg_relation_size(pg_class.oid) / current_setting('block_size')::bigint)::bigint AS pages,
       CASE WHEN relkind IN ('i', 'I') THEN 0 ELSE pg_indexes_size(pg_class.oid) END::bigint AS indexes_bytes,
       greatest(reltuples, 0)::float8 AS rows,
       pg_stat_get_dead_tuples(pg_class.oid)::bigint AS dead_rows,
       pg_stat_get_mod_since_analyze(pg_class.oid)::bigint AS changed_rows,
       coalesce(extract(epoch FROM pg_stat_get_last_vacuum_time(pg_class.oid)), 0)::float8 AS vacuumed_at,
       coalesce(extract(epoch FROM pg_stat_get_last_analyze_time(pg_class.oid)), 0)::float8 AS analyzed_at,
       coalesce((SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = pg_class.oid), true) AS is_valid,
       to_regclass('pg_stat_statements') IS NOT NULL AS has_statements,
       to_regprocedure('pgstatindex(text)') IS NOT NULL AS has_pgstattuple
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s AND relname = %(name)s
