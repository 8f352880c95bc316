-- Purpose: the plan of a statement, which is not run. Needs: the rights that the statement needs.
EXPLAIN (FORMAT JSON, VERBOSE false, SETTINGS) {statement}
