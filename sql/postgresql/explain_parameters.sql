-- Purpose: how many parameters the prepared statement has; from here on the plan that serves all their values is wanted.
-- Needs: PostgreSQL 12, any role.
SELECT cardinality(parameter_types) AS count, set_config('plan_cache_mode', 'force_generic_plan', false)
FROM pg_prepared_statements
WHERE name = 'samaops_explained'
