-- Purpose: notifications that are due now, each to another customer. Needs: INSERT on notifications.
INSERT INTO notifications (user_id, priority, message)
SELECT n, 'normal', %(message)s FROM generate_series(1, %(count)s) AS n
