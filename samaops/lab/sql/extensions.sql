-- Purpose: the extensions and rights of the guide. Needs: superuser, in database samaconso.
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
GRANT ALL ON SCHEMA public TO samaconso_user;
GRANT CONNECT ON DATABASE samaconso TO samaops;
