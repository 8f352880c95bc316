-- Sequences nearest to their end, by their own limit or by that of the column they fill (int2, int4).
-- Needs: PostgreSQL 10; USAGE or SELECT on a sequence, or its value is unknown (is_hidden).
-- Each that is asked for its value stays locked until the end of the statement, and the server's table of locks has an end
-- too: at most 1000 are asked, those of the largest tables first; each row says how many were not (not_asked), and where no
-- sequence that was asked has given a number yet, there is a row without a name that says it.
WITH asked AS MATERIALIZED (
    SELECT seqrelid, seqstart, seqincrement, seqmax, seqmin,
           refobjid AS relation, refobjsubid AS attribute,
           count(*) OVER () AS sequences
    FROM pg_sequence
    LEFT JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = seqrelid AND refclassid = 'pg_class'::regclass
                       AND deptype IN ('a', 'i') AND refobjsubid > 0
    LEFT JOIN pg_class ON pg_class.oid = refobjid
    WHERE NOT seqcycle
    ORDER BY reltuples DESC NULLS FIRST, seqrelid
    LIMIT 1000
), filled AS (
    SELECT seqrelid, relation, attribute FROM asked WHERE relation IS NOT NULL
    UNION  -- a default may take from a sequence of nobody, or of another table
    SELECT seqrelid, adrelid, adnum
    FROM asked
    JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = seqrelid AND classid = 'pg_attrdef'::regclass
    JOIN pg_attrdef ON pg_attrdef.oid = objid
), columns AS (
    SELECT seqrelid,
           min(CASE atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END) AS most,
           min(relation::regclass::text || '.' || attname) AS name
    FROM filled
    JOIN pg_attribute ON attrelid = relation AND attnum = attribute
    GROUP BY seqrelid
), valued AS (
    SELECT asked.*,
           columns.name AS of_column,
           CASE WHEN seqincrement > 0 THEN least(seqmax, most) ELSE seqmin END AS last,
           is_seen,
           CASE WHEN is_seen THEN pg_sequence_last_value(seqrelid) END AS value
    FROM asked
    CROSS JOIN LATERAL (SELECT has_sequence_privilege(seqrelid, 'USAGE, SELECT') AS is_seen) AS seen
    LEFT JOIN columns USING (seqrelid)
), ranked AS (
    SELECT valued.*,
           count(*) FILTER (WHERE NOT is_seen) OVER () AS hidden,
           coalesce(round(100.0 * abs(value::numeric - seqstart) / nullif(abs(last::numeric - seqstart), 0), 1), 100)::float8
               AS percent
    FROM valued
    WHERE value IS NOT NULL OR NOT is_seen
    ORDER BY is_seen DESC, percent DESC
    LIMIT 20
)
SELECT nspname || '.' || relname AS name,
       coalesce(of_column, '') AS of_column,
       value,
       last,
       NOT is_seen AS is_hidden,
       coalesce(hidden, 0) AS hidden,
       not_asked,
       percent
FROM (SELECT greatest(0, coalesce(max(sequences), 0) - 1000) AS not_asked FROM asked) AS counted
LEFT JOIN ranked ON true
LEFT JOIN pg_class ON pg_class.oid = seqrelid
LEFT JOIN pg_namespace ON pg_namespace.oid = relnamespace
ORDER BY is_seen DESC NULLS LAST, percent DESC
