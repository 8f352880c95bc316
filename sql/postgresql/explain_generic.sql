-- Purpose: the plan that serves all values of the parameters; it is not run.
-- Needs: PostgreSQL 12, explain_prepare.sql before it, plan_cache_mode = force_generic_plan.
EXPLAIN (FORMAT JSON, SETTINGS) EXECUTE samaops_explained {statement}
