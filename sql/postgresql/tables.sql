-- Tables of this database with many dead or many unanalysed rows. No lock on any of them is taken.
-- Needs: PostgreSQL 12, any role.
SELECT schemaname || '.' || pg_stat_user_tables.relname AS relation,
       n_live_tup::bigint AS live_rows,
       n_dead_tup::bigint AS dead_rows,
       n_mod_since_analyze::bigint AS modified_rows,
       relpages::bigint * current_setting('block_size')::bigint AS size_bytes,
       extract(epoch FROM clock_timestamp() - greatest(last_vacuum, last_autovacuum))::float8 AS vacuumed_seconds,
       extract(epoch FROM clock_timestamp() - greatest(last_analyze, last_autoanalyze))::float8 AS analyzed_seconds
FROM pg_stat_user_tables
JOIN pg_class ON pg_class.oid = relid
WHERE greatest(n_dead_tup, n_mod_since_analyze) >= 1000
ORDER BY greatest(n_dead_tup, n_mod_since_analyze) DESC
LIMIT 50
