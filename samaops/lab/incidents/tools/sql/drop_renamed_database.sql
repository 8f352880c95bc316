-- Purpose: remove the one put aside, when the lab has made a new database meanwhile. Needs: superuser.
DROP DATABASE samaconso_before_restore
