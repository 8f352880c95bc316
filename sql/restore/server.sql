-- The server that a backup is restored on.
SELECT json_build_object(
         'epoch', extract(epoch FROM clock_timestamp())::float8,
         'version', current_setting('server_version_num')::int,
         'directory', current_setting('data_directory'),
         'in_recovery', pg_is_in_recovery())
