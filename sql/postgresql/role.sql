-- Purpose: the role with which samaops looks at the database and tends it. It is no superuser.
-- Needs: a superuser, once, with psql, which gives the names:
--   psql -d samaconso -v role=samaops -v owner=samaconso_user -f role.sql
-- Then give it a password that stands in no log: \password samaops
SELECT format('CREATE ROLE %I LOGIN', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
-- sees all sessions and statistics; cancels and ends clients' sessions; may ask for a checkpoint
GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO :"role";
-- vacuums, analyzes and reindexes what the application owns; PostgreSQL 15 gives that to owners alone
GRANT :"owner" TO :"role";
