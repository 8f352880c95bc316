-- Where the server has its local sockets. Needs: pg_read_all_settings (in pg_monitor).
SELECT current_setting('unix_socket_directories') AS directories
