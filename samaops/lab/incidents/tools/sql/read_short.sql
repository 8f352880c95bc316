-- Purpose: read the table that is to be changed. Needs: SELECT on consumption.
SELECT count(*) FROM consumption WHERE user_id = 1
