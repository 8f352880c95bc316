-- Purpose: switch autovacuum on again. Needs: superuser, a reload, no transaction.
ALTER SYSTEM RESET autovacuum
