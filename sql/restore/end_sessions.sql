-- End who is still in the old database, again and again, while the renaming keeps new ones out.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datid = :old_oid AND pid <> pg_backend_pid() AND backend_type IN ('client backend', 'autovacuum worker', 'parallel worker')
\watch 0.1
