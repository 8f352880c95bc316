-- Purpose: databases, extensions, relations with their columns, functions, triggers, slots, prepared transactions.
-- Needs: PostgreSQL 12, any user.
SELECT 'database ' || datname, concat_ws(' ', datallowconn, datconnlimit, datdba::regrole)
FROM pg_database
UNION ALL
SELECT 'extension ' || extname, extversion
FROM pg_extension
UNION ALL
SELECT 'relation ' || c.oid::regclass::text,
       concat_ws(' ', c.relkind, c.relowner::regrole, c.reloptions::text, c.relacl::text, i.indisvalid,
                 (SELECT md5(string_agg(concat_ws(' ', a.attname, a.atttypid, a.attnotnull), ',' ORDER BY a.attnum))
                  FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM pg_class c
LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)
  AND c.relpersistence <> 't'
UNION ALL
SELECT 'function ' || p.oid::regprocedure::text, md5(p.prosrc)
FROM pg_proc p
WHERE p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
UNION ALL
SELECT 'trigger ' || tgname || ' on ' || tgrelid::regclass::text, tgenabled::text
FROM pg_trigger
UNION ALL
SELECT 'replication slot ' || slot_name, slot_type
FROM pg_replication_slots
UNION ALL
SELECT 'prepared transaction ' || gid, owner::text
FROM pg_prepared_xacts;
