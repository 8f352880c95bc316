-- Purpose: let everybody into the application's database again. Needs: superuser.
ALTER DATABASE samaconso ALLOW_CONNECTIONS true
