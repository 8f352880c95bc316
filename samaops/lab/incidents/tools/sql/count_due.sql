-- Purpose: how many of them nobody has published, and for how many seconds. Needs: SELECT on notifications.
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
FROM notifications
WHERE message = %(message)s AND sent_at IS NULL
