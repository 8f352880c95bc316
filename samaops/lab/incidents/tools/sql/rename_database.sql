-- Purpose: put the application's database aside, as one does before a restore. Needs: superuser, no session in it.
ALTER DATABASE samaconso RENAME TO samaconso_before_restore
