-- Purpose: keep no more WAL than is needed. Needs: superuser.
ALTER SYSTEM RESET wal_keep_size
