-- Purpose: give the database its name back. Needs: superuser.
ALTER DATABASE samaconso_before_restore RENAME TO samaconso
