-- Purpose: a transaction that waits for nobody. Needs: any role.
BEGIN; SET LOCAL lock_timeout = '500ms'; SET LOCAL statement_timeout = '2s'
