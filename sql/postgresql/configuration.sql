-- How the server and this database are set up: a row for each thing and attribute. Takes no lock on any table.
-- Needs: PostgreSQL 12; a few settings are shown to pg_read_all_settings (in pg_monitor) only.
WITH relation AS (
    SELECT pg_class.*, nspname || '.' || relname AS full_name
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
)
SELECT 'service' AS kind, 'PostgreSQL' AS name, 'started' AS attribute, pg_postmaster_start_time()::text AS value,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS at
UNION ALL
SELECT 'setting', name, '', current_setting(name), NULL
FROM pg_settings
WHERE source NOT IN ('default', 'override', 'client', 'session', 'user', 'database', 'database user')
UNION ALL
SELECT 'role', rolname, attribute, value, NULL
FROM pg_roles,
     LATERAL (VALUES ('log-in', rolcanlogin::text), ('superuser', rolsuper::text), ('replication', rolreplication::text),
                     ('connection limit', nullif(rolconnlimit, -1)::text), ('valid until', rolvaliduntil::text))
         AS trait (attribute, value)
WHERE rolname !~ '^pg_'
UNION ALL
SELECT 'role', pg_get_userbyid(member), 'member of ' || pg_get_userbyid(roleid), 'true', NULL
FROM pg_auth_members
WHERE pg_get_userbyid(member) !~ '^pg_'
UNION ALL
SELECT CASE WHEN setrole = 0 THEN 'database' ELSE 'role' END,
       CASE WHEN setrole = 0 THEN datname ELSE pg_get_userbyid(setrole) END,
       'setting ' || split_part(entry, '=', 1) || CASE WHEN setrole = 0 THEN '' ELSE coalesce(' in ' || datname, '') END,
       substr(entry, strpos(entry, '=') + 1),
       NULL
FROM pg_db_role_setting
LEFT JOIN pg_database ON pg_database.oid = setdatabase,
     unnest(setconfig) AS entry
UNION ALL
SELECT 'database', datname, attribute, value, NULL
FROM pg_database,
     LATERAL (VALUES ('owner', pg_get_userbyid(datdba)::text), ('rights', datacl::text),
                     ('connections allowed', datallowconn::text), ('connection limit', nullif(datconnlimit, -1)::text))
         AS trait (attribute, value)
UNION ALL
SELECT 'schema', nspname, attribute, value, NULL
FROM pg_namespace,
     LATERAL (VALUES ('owner', pg_get_userbyid(nspowner)::text), ('rights', nspacl::text)) AS trait (attribute, value)
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT 'extension', extname, '', extversion, NULL
FROM pg_extension
UNION ALL
SELECT 'table', full_name, attribute, value, NULL
FROM relation,
     LATERAL (VALUES ('owner', pg_get_userbyid(relowner)::text), ('rights', relacl::text),
                     ('options', reloptions::text), ('row security', nullif(relrowsecurity, false)::text),
                     ('columns', (SELECT count(*) || ' ' || left(md5(string_agg(
                                      concat_ws(' ', attname, atttypid, atttypmod, attnotnull), ',' ORDER BY attnum)), 8)
                                  FROM pg_attribute WHERE attrelid = relation.oid AND attnum > 0 AND NOT attisdropped)))
         AS trait (attribute, value)
WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL
SELECT 'index', full_name, '',
       concat_ws(' ', CASE WHEN indisunique THEN 'unique' END, CASE WHEN NOT indisvalid THEN 'invalid' END,
                 'on ' || (SELECT relname FROM pg_class WHERE oid = indrelid),
                 '(' || (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = indexrelid)
                     || ')',
                 'where ' || left(md5(indpred::text), 8)),
       NULL
FROM pg_index
JOIN relation ON relation.oid = indexrelid
UNION ALL
SELECT 'constraint', full_name || ' ' || conname, '',
       concat_ws(' ', CASE contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign key'
                                   WHEN 'c' THEN 'check' ELSE contype::text END,
                 CASE WHEN NOT convalidated THEN 'not valid' END,
                 left(md5(concat_ws(' ', conkey::text, confkey::text, conbin::text)), 8)),
       NULL
FROM pg_constraint
JOIN relation ON relation.oid = conrelid
UNION ALL
SELECT 'trigger', full_name || ' ' || tgname, '', CASE tgenabled WHEN 'D' THEN 'disabled' ELSE 'enabled' END, NULL
FROM pg_trigger
JOIN relation ON relation.oid = tgrelid
WHERE NOT tgisinternal
LIMIT 20000
