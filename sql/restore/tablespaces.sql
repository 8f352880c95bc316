-- Tablespaces that lie outside of the cluster's directory: what is recovered beside it would be written into them.
SELECT json_build_object('name', spcname)
FROM pg_tablespace
WHERE pg_tablespace_location(oid) <> ''
ORDER BY spcname
