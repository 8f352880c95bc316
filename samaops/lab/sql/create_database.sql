-- Purpose: the database of the guide, in a collation that every machine has. Needs: superuser, no transaction.
CREATE DATABASE samaconso OWNER samaconso_user ENCODING 'UTF8' TEMPLATE template0
