-- Purpose: how long one statement of this connection may take from now on; it ends when its client is gone.
-- Needs: PostgreSQL 14, any role.
SELECT set_config('statement_timeout', %(milliseconds)s, false),
       set_config('client_connection_check_interval', '2s', false)
