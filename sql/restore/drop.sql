-- Drop a database of our own, known by its comment as well as by its name.
SELECT EXISTS (SELECT FROM pg_database d WHERE datname = :'database'
               AND shobj_description(d.oid, 'pg_database') LIKE '{"samaops":%') AS is_ours \gset
\if :is_ours
DROP DATABASE :"database" WITH (FORCE);
\endif
SELECT json_build_object('is_there', EXISTS (SELECT FROM pg_database WHERE datname = :'database'))
