-- What a backup tells of its database, and pg_restore does not bring back under another name. One JSON document. Needs: PostgreSQL 14; the superuser.
SELECT json_build_object(
    'server_version', current_setting('server_version'),
    'version_number', current_setting('server_version_num')::int,
    'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
    'bytes', pg_database_size(d.oid),
    'files', json_build_object(
        'postgresql.conf', current_setting('config_file', true),
        'pg_hba.conf', current_setting('hba_file', true),
        'pg_ident.conf', current_setting('ident_file', true),
        'postgresql.auto.conf', current_setting('data_directory', true) || '/postgresql.auto.conf'
    ),
    'properties', json_build_object(
        'owner', pg_get_userbyid(d.datdba),
        'encoding', pg_encoding_to_char(d.encoding),
        'collate', d.datcollate,
        'ctype', d.datctype,
        'connection_limit', d.datconnlimit,
        'acl', (SELECT json_agg(entry::text) FROM unnest(d.datacl) AS entry),
        'comment', shobj_description(d.oid, 'pg_database'),
        'settings', (
            SELECT coalesce(json_object_agg(coalesce(r.rolname, ''), s.setconfig), '{}')
            FROM pg_db_role_setting AS s
            LEFT JOIN pg_roles AS r ON r.oid = s.setrole
            WHERE s.setdatabase = d.oid
        ),
        'extensions', (SELECT coalesce(json_object_agg(extname, extversion), '{}') FROM pg_extension)
    )
)
FROM pg_database AS d
WHERE d.datname = current_database()
