-- Purpose: how full the leaves of a B-tree are, in percent, by reading all of it. Needs: pgstattuple, pg_stat_scan_tables.
SELECT avg_leaf_density::float8 AS percent FROM pgstatindex(%(name)s)
