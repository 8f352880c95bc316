-- Give a restored database the owner, the rights and the limit of the old one. "acl" is empty where it is the default.
ALTER DATABASE :"database" OWNER TO :"owner";
SELECT format('REVOKE ALL ON DATABASE %I FROM %s', :'database', who)
FROM (VALUES ('PUBLIC'), (quote_ident(:'owner'))) AS all_who(who)
WHERE :'acl' <> ''
\gexec
SELECT format('GRANT %s ON DATABASE %I TO %s%s', privilege_type, :'database',
              CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM aclexplode(nullif(:'acl', '')::aclitem[]) WITH ORDINALITY AS rights(grantor, grantee, privilege_type, is_grantable, place)
ORDER BY place
\gexec
ALTER DATABASE :"database" CONNECTION LIMIT :limit
