-- Purpose: the database that was put aside can be used, under its new name. Needs: superuser.
ALTER DATABASE samaconso_before_restore ALLOW_CONNECTIONS true
