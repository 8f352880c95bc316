-- Purpose: what was due within a day and is not published, and when something was published last.
-- Needs: PostgreSQL 10, SELECT on the two columns.
-- The names in braces are those of the configuration, quoted.
WITH late AS (
    SELECT {due} AS due_at FROM {table}
    WHERE {due} > now() - interval '1 day' AND {due} <= now() AND {published} IS NULL
)
SELECT
    (SELECT count(*) FROM late) AS due,
    (SELECT extract(epoch FROM now() - min(due_at))::float8 FROM late) AS oldest_seconds,
    (
        SELECT extract(epoch FROM now() - max({published}))::float8 FROM {table}
        WHERE {due} > now() - interval '1 hour' AND {due} <= now()
    ) AS published_seconds
