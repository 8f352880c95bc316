-- Where the last checkpoint is, and whether we may ask for one. Needs: PostgreSQL 12, any role.
SELECT checkpoint_lsn::text AS lsn,
       extract(epoch FROM clock_timestamp() - checkpoint_time)::float8 AS seconds,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
           OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_checkpoint' AND pg_has_role(oid, 'USAGE')) AS may,
       current_setting('block_size')::bigint AS block_bytes,
       coalesce(has_table_privilege(to_regclass('pg_buffercache'), 'SELECT'), false) AS has_buffers
FROM pg_control_checkpoint()
