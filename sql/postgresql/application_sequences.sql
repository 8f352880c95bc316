-- Purpose: which sequences are nearly used up, by their own end or by that of the column they fill (int2, int4)?
-- Needs: PostgreSQL 10; without USAGE or SELECT on a sequence its last value is unknown and it is not listed.
WITH filled AS (
    SELECT d.refobjid AS sequence, a.adrelid AS relation, a.adnum AS attribute
    FROM pg_depend AS d JOIN pg_attrdef AS a ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
    WHERE d.refclassid = 'pg_class'::regclass
    UNION
    SELECT d.objid, d.refobjid, d.refobjsubid
    FROM pg_depend AS d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
      AND d.refobjsubid > 0
), s AS (
    SELECT q.seqrelid, q.seqstart, q.seqincrement,
           CASE WHEN q.seqincrement > 0 THEN least(q.seqmax, min(CASE t.atttypid WHEN 'int2'::regtype THEN 32767
                WHEN 'int4'::regtype THEN 2147483647 ELSE q.seqmax END)) ELSE q.seqmin END AS last,
           min(format('%s.%I', f.relation::regclass, t.attname)) AS of_column
    FROM pg_sequence AS q LEFT JOIN filled AS f ON f.sequence = q.seqrelid
    LEFT JOIN pg_attribute AS t ON t.attrelid = f.relation AND t.attnum = f.attribute
    WHERE NOT q.seqcycle AND has_sequence_privilege(q.seqrelid, 'USAGE, SELECT')
    GROUP BY q.seqrelid, q.seqstart, q.seqincrement, q.seqmax, q.seqmin
), u AS (
    SELECT s.*, pg_sequence_last_value(s.seqrelid) AS value FROM s
)
SELECT seqrelid::regclass::text AS name, coalesce(of_column, '') AS of_column, value, last,
       coalesce(round(100.0 * abs(value::numeric - seqstart) / nullif(abs(last::numeric - seqstart), 0), 1), 100)::float8
           AS percent
FROM u
WHERE value IS NOT NULL
ORDER BY percent DESC
LIMIT 5
