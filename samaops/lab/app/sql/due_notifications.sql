-- Purpose: some notifications that are due, which nobody else is publishing. Needs: SELECT, UPDATE on notifications.
SELECT id, user_id, priority, message
FROM notifications
WHERE sent_at IS NULL AND created_at <= now()
ORDER BY created_at
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
