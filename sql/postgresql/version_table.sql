-- Purpose: is there the table in which the application's migrations are counted, and may we read it?
-- Needs: PostgreSQL 10, any role.
SELECT
    to_regclass(%(table)s) IS NOT NULL AS has_table,
    coalesce(has_table_privilege(to_regclass(%(table)s), 'SELECT'), false) AS is_permitted
