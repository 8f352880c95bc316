-- Every database with what decides whether it may be replaced, swapped in or dropped. Needs: a superuser, PostgreSQL 14.
SELECT json_build_object(
         'name', datname,
         'oid', d.oid::bigint,
         'bytes', pg_database_size(d.oid),
         'allows', datallowconn,
         'comment', shobj_description(d.oid, 'pg_database'),
         'sessions', (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid AND backend_type = 'client backend'),
         'prepared', (SELECT count(*) FROM pg_prepared_xacts p WHERE p.database = datname))
FROM pg_database d
WHERE NOT datistemplate
ORDER BY datname
