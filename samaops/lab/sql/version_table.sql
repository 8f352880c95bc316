-- Purpose: the table in which Alembic keeps at which migration the tables are. Needs: owner of the database.
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY
)
