-- Purpose: begin a transaction as the application does, before it asks SQL Server. Needs: SELECT on users.
SELECT full_name FROM users WHERE id = 1
