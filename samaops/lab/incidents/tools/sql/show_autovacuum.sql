-- Purpose: whether autovacuum works. Needs: any role.
SELECT current_setting('autovacuum')
