-- What pg_restore does not bring back under another name.
SELECT json_build_object(
         'owner', pg_get_userbyid(datdba),
         'encoding', pg_encoding_to_char(encoding),
         'collate', datcollate,
         'ctype', datctype,
         'connection_limit', datconnlimit,
         'acl', datacl::text[],
         'comment', shobj_description(d.oid, 'pg_database'),
         'settings', coalesce((SELECT json_object_agg(CASE WHEN setrole = 0 THEN '' ELSE pg_get_userbyid(setrole) END, setconfig)
                               FROM pg_db_role_setting s WHERE setdatabase = d.oid), '{}'),
         'extensions', coalesce((SELECT json_object_agg(extname, extversion) FROM pg_extension), '{}'))
FROM pg_database d
WHERE datname = current_database()
