-- Sequences nearest to their end, by their own limit or by that of the column they fill (int2, int4).
-- Needs: PostgreSQL 10; USAGE or SELECT on a sequence, or its value is unknown (is_hidden).
WITH filled AS (
    SELECT d.refobjid AS sequence, a.adrelid AS relation, a.adnum AS attribute
    FROM pg_depend AS d JOIN pg_attrdef AS a ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
    WHERE d.refclassid = 'pg_class'::regclass
    UNION
    SELECT d.objid, d.refobjid, d.refobjsubid
    FROM pg_depend AS d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND d.refobjsubid > 0
), limited AS (
    SELECT q.seqrelid, q.seqstart, q.seqincrement,
           CASE WHEN q.seqincrement > 0 THEN least(q.seqmax, min(CASE t.atttypid WHEN 'int2'::regtype THEN 32767
                WHEN 'int4'::regtype THEN 2147483647 ELSE q.seqmax END)) ELSE q.seqmin END AS last,
           min(format('%s.%s', f.relation::regclass, t.attname)) AS of_column
    FROM pg_sequence AS q LEFT JOIN filled AS f ON f.sequence = q.seqrelid
    LEFT JOIN pg_attribute AS t ON t.attrelid = f.relation AND t.attnum = f.attribute
    WHERE NOT q.seqcycle
    GROUP BY q.seqrelid, q.seqstart, q.seqincrement, q.seqmax, q.seqmin
), valued AS (
    SELECT limited.*, has_sequence_privilege(seqrelid, 'USAGE, SELECT') AS is_seen,
           CASE WHEN has_sequence_privilege(seqrelid, 'USAGE, SELECT') THEN pg_sequence_last_value(seqrelid) END AS value
    FROM limited
)
SELECT nspname || '.' || relname AS name,
       coalesce(of_column, '') AS of_column,
       value,
       last,
       NOT is_seen AS is_hidden,
       count(*) FILTER (WHERE NOT is_seen) OVER () AS hidden,
       coalesce(round(100.0 * abs(value::numeric - seqstart) / nullif(abs(last::numeric - seqstart), 0), 1), 100)::float8
           AS percent
FROM valued
JOIN pg_class ON pg_class.oid = seqrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE value IS NOT NULL OR NOT is_seen
ORDER BY is_seen DESC, percent DESC
LIMIT 20
