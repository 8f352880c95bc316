-- At which revisions of its migrations a database is.
SELECT format('SELECT json_build_object(''revision'', version_num) FROM %s', :'table'::regclass)
\gexec
