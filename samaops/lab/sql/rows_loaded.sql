-- Purpose: have the tables been filled? The marker is set in the transaction that fills them. Needs: any role.
SELECT obj_description(to_regclass('public.consumption'), 'pg_class') IS NOT DISTINCT FROM 'filled by the lab'
