-- Purpose: leave a dead version of each notification behind. Needs: UPDATE on notifications.
UPDATE notifications SET message = message
