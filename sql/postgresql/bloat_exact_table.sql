-- Purpose: the free and dead room of a table, read from all its pages but those that hold nothing dead.
-- Needs: pgstattuple 1.5, pg_stat_scan_tables (in pg_monitor).
SELECT table_len AS size_bytes,
       scanned_percent,
       approx_tuple_count AS rows,
       dead_tuple_count AS dead_rows,
       dead_tuple_len + approx_free_space AS bloat_bytes
FROM {function}(%(oid)s::oid::regclass)
