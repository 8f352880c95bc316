-- The counters of transaction ids and multixacts, now and as they were at the last checkpoint: how fast they go.
-- Needs: PostgreSQL 13, any role.
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid,  -- with its epoch, and using up none itself
       mxid_age('1'::xid)::bigint AS multixact,
       split_part(next_xid, ':', 1)::bigint * 4294967296 + split_part(next_xid, ':', 2)::bigint AS xid_then,
       mxid_age('1'::xid)::bigint - mxid_age(next_multixact_id)::bigint AS multixact_then,
       extract(epoch FROM clock_timestamp() - checkpoint_time)::float8 AS seconds,
       extract(epoch FROM clock_timestamp())::float8 AS at,
       current_setting('autovacuum')::bool AS has_autovacuum,
       pg_is_in_recovery() AS in_recovery
FROM pg_control_checkpoint()
