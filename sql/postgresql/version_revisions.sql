-- Purpose: at which migrations of the application the database is.
-- Needs: PostgreSQL 10, SELECT on the table.
-- The names in braces are those of the configuration, quoted.
SELECT coalesce(array_agg(version_num::text ORDER BY version_num), '{{}}') AS revisions FROM {table}
