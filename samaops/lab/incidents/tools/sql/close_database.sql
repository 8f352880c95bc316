-- Purpose: let nobody new into the database that is about to be renamed. Needs: superuser.
ALTER DATABASE samaconso ALLOW_CONNECTIONS false
