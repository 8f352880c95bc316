-- How large a database is.
SELECT pg_database_size(:'database')
