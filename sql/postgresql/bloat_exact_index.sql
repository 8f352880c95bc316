-- Purpose: how full the leaf pages of a b-tree are, read from all of it.
-- Needs: pgstattuple 1.5, pg_stat_scan_tables (in pg_monitor).
SELECT index_size AS size_bytes,
       leaf_pages,
       empty_pages + deleted_pages AS empty_pages,
       nullif(avg_leaf_density, 'NaN') AS leaf_percent
FROM {function}(%(oid)s::oid::regclass)
