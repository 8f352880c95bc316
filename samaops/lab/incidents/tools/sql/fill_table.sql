-- Purpose: a table of about 1 kB a row that cannot be compressed, and that writes no WAL.
CREATE UNLOGGED TABLE archives_sms AS
SELECT number, (SELECT string_agg(md5(number::text || part::text), '') FROM generate_series(1, 30) AS part) AS text
FROM generate_series(1, %(rows)s) AS number
