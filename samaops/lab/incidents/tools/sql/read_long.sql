-- Purpose: read a table for as long as the session lives. Needs: SELECT on consumption.
SELECT pg_sleep(3600) FROM consumption LIMIT 1
