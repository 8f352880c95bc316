-- Let the server notice within about half a minute that the lock's owner is gone without a word.
-- Needs: PostgreSQL 14 (idle_session_timeout).
SELECT set_config('tcp_keepalives_idle', '10', false),
       set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '4', false),
       set_config('idle_session_timeout', '0', false),
       set_config('statement_timeout', '10s', false)
