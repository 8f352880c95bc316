-- Purpose: the SCRAM secrets for PgBouncer's userlist.txt, as the guide takes them. Needs: superuser.
SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY(%s) ORDER BY rolname
