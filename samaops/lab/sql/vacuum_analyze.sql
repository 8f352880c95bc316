-- Purpose: statistics and visibility maps of the fresh tables. Needs: superuser, no transaction.
VACUUM (ANALYZE)
