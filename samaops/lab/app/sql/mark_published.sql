-- Purpose: remember that notifications were published. Needs: UPDATE on notifications.
UPDATE notifications SET sent_at = now() WHERE id = ANY(%(ids)s)
