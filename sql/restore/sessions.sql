-- Who is in a database now, besides us. A superuser sees the statements.
SELECT json_build_object(
         'pid', pid, 'user', coalesce(usename, ''), 'application', application_name,
         'client', coalesce(host(client_addr), ''), 'state', coalesce(state, ''), 'query', left(query, 200),
         'type', backend_type,
         'seconds', extract(epoch FROM clock_timestamp() - xact_start)::float8)
FROM pg_stat_activity
WHERE datname = :'database' AND pid <> pg_backend_pid()
ORDER BY pid
LIMIT 1000
