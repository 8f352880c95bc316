-- Purpose: which tables of this database may a user not read, which of its own may it not write, and from which sequences
-- of a table's defaults may it take no number? Of which that it may read does row level security hide every row?
-- Needs: PostgreSQL 14, any role.
WITH r AS (
    SELECT oid, rolsuper OR rolbypassrls AS sees_all FROM pg_roles WHERE rolname = %(user)s
), t AS (
    SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) AS name, c.oid = to_regclass(%(table)s) AS is_ours,
           c.relowner = r.oid AS is_owner,
           c.relrowsecurity AND NOT r.sees_all
           AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))
           AND NOT EXISTS (
               SELECT FROM pg_policy AS p
               WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'r')
                 AND EXISTS (SELECT FROM unnest(p.polroles) AS role
                             WHERE CASE WHEN role = 0 THEN true ELSE pg_has_role(r.oid, role, 'USAGE') END)
           ) AS is_hidden,
           has_schema_privilege(r.oid, n.oid, 'USAGE') AS is_reached,
           has_table_privilege(r.oid, c.oid, 'SELECT') AS may_read,
           has_table_privilege(r.oid, c.oid, 'INSERT') AS may_insert,
           has_table_privilege(r.oid, c.oid, 'INSERT') AND has_table_privilege(r.oid, c.oid, 'UPDATE') AS may_write
    FROM r, pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.objid = c.oid AND e.deptype = 'e')
)
SELECT
    count(*) AS tables,
    count(*) FILTER (WHERE is_reached AND may_read) AS readable,
    coalesce(bool_and(is_reached AND may_read AND may_write) FILTER (WHERE is_ours), true) AS serves_notifications,
    ARRAY(SELECT name FROM t WHERE is_reached AND NOT may_read ORDER BY name LIMIT 10) AS unreadable,
    ARRAY(SELECT name FROM t WHERE is_owner AND NOT (is_reached AND may_read AND may_write) ORDER BY name LIMIT 10)
        AS lost,
    ARRAY(SELECT name FROM t WHERE is_reached AND may_read AND is_hidden ORDER BY name LIMIT 10) AS hidden,
    -- An identity column takes its numbers without a right to its sequence; a default asks for one.
    ARRAY(
        SELECT DISTINCT format('%%s (%%s)', s.oid::regclass, t.name)
        FROM t JOIN pg_attrdef AS a ON a.adrelid = t.oid
        JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
             AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'
        -- CASE, since the planner may ask for the right before it knows that this is a sequence.
        WHERE t.may_insert AND NOT CASE WHEN s.relkind = 'S'
              THEN has_sequence_privilege((SELECT oid FROM r), s.oid, 'USAGE, UPDATE') ELSE true END
        LIMIT 10
    ) AS sequences
FROM t
