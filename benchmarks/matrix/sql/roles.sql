-- Purpose: roles with what they may do, and their memberships. Needs: PostgreSQL 12, any user.
SELECT rolname,
       concat_ws(' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit,
                 rolbypassrls, rolvaliduntil,
                 (SELECT string_agg(roleid::regrole::text, ',' ORDER BY roleid::regrole::text)
                  FROM pg_auth_members WHERE member = pg_roles.oid))
FROM pg_roles;
