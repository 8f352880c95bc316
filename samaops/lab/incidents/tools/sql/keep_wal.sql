-- Purpose: have PostgreSQL keep more WAL than the disk holds. Needs: superuser.
ALTER SYSTEM SET wal_keep_size = '900MB'
