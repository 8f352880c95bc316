-- Purpose: write one row of a table as it is, in a transaction that is rolled back: a real write that leaves nothing.
-- Needs: SELECT and UPDATE on the table, as the application has. A row that somebody holds is passed over.
UPDATE {table} SET {published} = {published}
WHERE ctid = (SELECT ctid FROM {table} LIMIT 1 FOR UPDATE SKIP LOCKED)
