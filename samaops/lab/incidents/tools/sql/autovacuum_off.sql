-- Purpose: switch autovacuum off, as some do before a load. Needs: superuser, a reload, no transaction.
ALTER SYSTEM SET autovacuum = off
