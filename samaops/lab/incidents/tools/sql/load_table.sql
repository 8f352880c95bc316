-- Purpose: a load of 40,000 rows that nobody analyses. Needs: CREATE in public.
CREATE TABLE IF NOT EXISTS import_releves WITH (autovacuum_analyze_threshold = 2000000000)
AS SELECT n AS id, mod(n, 20000) AS user_id, n * 3 AS kilowatt_hours FROM generate_series(1, 40000) AS n
