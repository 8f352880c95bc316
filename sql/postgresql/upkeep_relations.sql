-- Purpose: every table of this database with what decides whether it needs a vacuum or an analyze, by autovacuum's own limits.
-- Needs: PostgreSQL 13, any role. No lock on any of them is taken. At most 20,000, the largest first.
WITH shared AS MATERIALIZED (
    SELECT current_setting('autovacuum_vacuum_threshold')::float8 AS vacuum_base,
           current_setting('autovacuum_vacuum_scale_factor')::float8 AS vacuum_share,
           current_setting('autovacuum_vacuum_insert_threshold')::float8 AS insert_base,
           current_setting('autovacuum_vacuum_insert_scale_factor')::float8 AS insert_share,
           current_setting('autovacuum_analyze_threshold')::float8 AS analyze_base,
           current_setting('autovacuum_analyze_scale_factor')::float8 AS analyze_share,
           current_setting('autovacuum_freeze_max_age')::bigint AS freeze_age,
           current_setting('autovacuum_multixact_freeze_max_age')::bigint AS multixact_age,
           current_setting('block_size')::bigint AS block_size,
           current_setting('server_version_num')::int >= 170000 AS has_maintain,
           -- the owner of the database may, too
           (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) AS owns_all
), relation AS (
    SELECT oid, relname, relkind, relnamespace, relowner, relispartition, relpages, reltuples, reltoastrelid, relfrozenxid,
           relminmxid, reltablespace, reloptions
    FROM pg_class
    WHERE relkind IN ('r', 'p', 'm', 'f') AND relpersistence <> 't' AND oid >= 16384
    ORDER BY relpages DESC, oid
    LIMIT 20000
)
SELECT relation.oid::bigint AS oid,
       nspname AS schema,
       relation.relname AS name,
       relation.relkind::text AS kind,
       coalesce(pg_get_userbyid(relation.relowner)::text, '?') AS owner,
       owns_all OR pg_has_role(relation.relowner, 'USAGE')
           OR CASE WHEN has_maintain THEN has_table_privilege(relation.oid, 'MAINTAIN') ELSE false END AS may_maintain,
       EXISTS (SELECT FROM pg_roles WHERE pg_roles.oid = relation.relowner AND rolsuper) AS is_superusers,
       coalesce(spcname, '') AS tablespace,
       (relation.relpages + coalesce(toast.relpages, 0))::bigint * block_size AS size_bytes,
       greatest(relation.reltuples, 0)::float8 AS rows,
       pg_stat_get_live_tuples(relation.oid)::bigint AS live_rows,
       pg_stat_get_dead_tuples(relation.oid)::bigint AS dead_rows,
       coalesce(own.vacuum_base, shared.vacuum_base)
           + coalesce(own.vacuum_share, shared.vacuum_share) * greatest(relation.reltuples, 0) AS dead_limit,
       pg_stat_get_ins_since_vacuum(relation.oid)::bigint AS inserted_rows,
       -- NULL: by inserts no vacuum is started
       CASE WHEN coalesce(own.insert_base, shared.insert_base) >= 0
           THEN coalesce(own.insert_base, shared.insert_base)
               + coalesce(own.insert_share, shared.insert_share) * greatest(relation.reltuples, 0) END AS insert_limit,
       pg_stat_get_mod_since_analyze(relation.oid)::bigint AS changed_rows,
       coalesce(own.analyze_base, shared.analyze_base)
           + coalesce(own.analyze_share, shared.analyze_share) * greatest(relation.reltuples, 0) AS change_limit,
       coalesce(greatest(age(nullif(relation.relfrozenxid, '0'::xid)), age(nullif(toast.relfrozenxid, '0'::xid))), 0)::bigint AS xid_age,
       least(own.freeze_age, shared.freeze_age)::bigint AS xid_limit,
       coalesce(greatest(mxid_age(nullif(relation.relminmxid, '0'::xid)), mxid_age(nullif(toast.relminmxid, '0'::xid))), 0)::bigint AS multixact_age,
       least(own.multixact_age, shared.multixact_age)::bigint AS multixact_limit,
       extract(epoch FROM clock_timestamp() - greatest(pg_stat_get_last_vacuum_time(relation.oid),
           pg_stat_get_last_autovacuum_time(relation.oid)))::float8 AS vacuumed_seconds,
       extract(epoch FROM clock_timestamp() - greatest(pg_stat_get_last_analyze_time(relation.oid),
           pg_stat_get_last_autoanalyze_time(relation.oid)))::float8 AS analyzed_seconds,
       CASE WHEN relation.relispartition THEN ARRAY(
           SELECT relid::oid::bigint FROM pg_partition_ancestors(relation.oid) WHERE relid <> relation.oid) ELSE '{}' END AS parents
FROM relation
CROSS JOIN shared
JOIN pg_namespace ON pg_namespace.oid = relation.relnamespace
LEFT JOIN pg_tablespace ON pg_tablespace.oid = relation.reltablespace
LEFT JOIN pg_class AS toast ON toast.oid = relation.reltoastrelid
CROSS JOIN LATERAL (
    SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::float8 AS vacuum_base,
           max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8 AS vacuum_share,
           max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_insert_threshold')::float8 AS insert_base,
           max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_insert_scale_factor')::float8 AS insert_share,
           max(option_value) FILTER (WHERE option_name = 'autovacuum_analyze_threshold')::float8 AS analyze_base,
           max(option_value) FILTER (WHERE option_name = 'autovacuum_analyze_scale_factor')::float8 AS analyze_share,
           max(option_value) FILTER (WHERE option_name = 'autovacuum_freeze_max_age')::bigint AS freeze_age,
           max(option_value) FILTER (WHERE option_name = 'autovacuum_multixact_freeze_max_age')::bigint AS multixact_age
    FROM pg_options_to_table(relation.reloptions)
) AS own
