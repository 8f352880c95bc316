-- A restored database has no statistics.
ANALYZE
