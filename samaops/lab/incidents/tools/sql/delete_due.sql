-- Purpose: take the incident's notifications out of the table again. Needs: DELETE on notifications.
DELETE FROM notifications WHERE message = %(message)s
