-- Purpose: sort more than work_mem holds, then take a second for each row of the result: the files stay meanwhile.
-- Each row takes about 1 kB of them.
SELECT pg_sleep(1)
FROM (
    SELECT repeat(md5(number::text), 30) AS text
    FROM generate_series(1, %(rows)s) AS number
    ORDER BY text
    OFFSET 0
) AS sorted
