-- How large the segments of the log are: by that it is known which come between two of them.
SELECT json_build_object('bytes', setting::bigint)
FROM pg_settings
WHERE name = 'wal_segment_size'
