-- What a standby says of itself: whether it still is one, from where it receives, and how much it has not replayed yet.
-- Needs: PostgreSQL 10; pg_monitor, else the receiver's details are NULL.
SELECT pg_is_in_recovery() AS in_recovery,
       current_setting('server_version_num')::int AS version_number,
       (SELECT count(*) FROM pg_stat_wal_receiver)::int AS receivers,
       (SELECT status FROM pg_stat_wal_receiver LIMIT 1) AS receiver_status,
       CASE WHEN pg_is_in_recovery() THEN
           pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint
       END AS waiting_bytes,
       CASE WHEN pg_is_in_recovery() THEN
           extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8
       END AS replayed_seconds
