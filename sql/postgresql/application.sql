-- Purpose: may the application's user log in to its database, how often, and with which settings of role and database?
-- Needs: PostgreSQL 14, any role.
WITH d AS (
    SELECT oid, datallowconn, datconnlimit FROM pg_database WHERE datname = %(database)s
), r AS (
    SELECT oid, rolcanlogin, rolconnlimit, rolsuper, rolvaliduntil FROM pg_roles WHERE rolname = %(user)s
)
SELECT
    (SELECT rolcanlogin FROM r) AS can_login,
    coalesce((SELECT rolsuper FROM r), false) AS is_superuser,
    (SELECT CASE WHEN isfinite(rolvaliduntil) THEN extract(epoch FROM rolvaliduntil - now())::float8 END FROM r)
        AS valid_seconds,
    (SELECT rolconnlimit FROM r) AS role_limit,
    (SELECT datallowconn FROM d) AS allows_connections,
    (SELECT datconnlimit FROM d) AS database_limit,
    (SELECT has_database_privilege(r.oid, d.oid, 'CONNECT') FROM r, d) AS may_connect,
    -- From the strongest to the weakest: the role in this database, the role, the database, everybody.
    ARRAY(
        SELECT concat_ws(
            E'\t',
            CASE WHEN s.setrole <> 0 AND s.setdatabase <> 0 THEN 'role in database' WHEN s.setrole <> 0 THEN 'role'
                 WHEN s.setdatabase <> 0 THEN 'database' ELSE 'all roles' END,
            c
        )
        FROM pg_db_role_setting AS s CROSS JOIN LATERAL unnest(s.setconfig) AS c
        WHERE s.setrole IN (0, (SELECT oid FROM r)) AND s.setdatabase IN (0, (SELECT oid FROM d))
        ORDER BY s.setrole <> 0 AND s.setdatabase <> 0 DESC, s.setrole <> 0 DESC, s.setdatabase <> 0 DESC
    ) AS settings
