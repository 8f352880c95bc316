-- Purpose: the plan of a statement, and what each part of it really took: it is run. Needs: a read-only transaction.
EXPLAIN (FORMAT JSON, ANALYZE, BUFFERS, SETTINGS) {statement}
