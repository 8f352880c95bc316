-- How many rows one table has, counted.
SELECT json_build_object('rows', count(*)) FROM :"schema".:"name"
