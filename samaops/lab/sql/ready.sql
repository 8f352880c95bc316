-- Purpose: does the server answer? Needs: any role.
SELECT 1
