-- Purpose: roll back a prepared transaction. Needs: to be its owner or a superuser, in the database it was made in.
ROLLBACK PREPARED %(gid)s
