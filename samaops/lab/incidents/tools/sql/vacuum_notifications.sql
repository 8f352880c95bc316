-- Purpose: remove dead versions of notifications, where nobody holds them. Needs: the owner, no transaction.
VACUUM (ANALYZE) notifications
