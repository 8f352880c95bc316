-- Purpose: where the server keeps its data, by tablespace; '' is that of the database. Needs: pg_read_all_settings.
SELECT '' AS name,
       coalesce(nullif(pg_tablespace_location(dattablespace), ''), current_setting('data_directory')) AS path
FROM pg_database
WHERE datname = current_database()
UNION ALL
SELECT spcname, coalesce(nullif(pg_tablespace_location(oid), ''), current_setting('data_directory'))
FROM pg_tablespace
ORDER BY 1
LIMIT 50
