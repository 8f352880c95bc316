-- How many of the shared buffers are dirty: what a checkpoint will write. Needs: the extension pg_buffercache, pg_monitor.
SELECT count(*) FILTER (WHERE isdirty) AS dirty, count(*) AS total FROM pg_buffercache
