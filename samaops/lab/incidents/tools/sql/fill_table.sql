-- Purpose: a table of about 1 kB a row, too short to be compressed, that writes no WAL.
CREATE UNLOGGED TABLE archives_sms AS
SELECT number, repeat(md5(number::text), 30) AS text FROM generate_series(1, %(rows)s) AS number
