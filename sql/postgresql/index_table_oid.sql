-- Purpose: the number of a table by its name as SQL takes it. Needs: any role.
SELECT to_regclass(%(name)s)::oid::bigint AS oid
