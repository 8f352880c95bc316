-- Purpose: do the rest of the session as another role. Needs: to be a member of it.
SET ROLE %(role)s
