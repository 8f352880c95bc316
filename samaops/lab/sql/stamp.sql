-- Purpose: say at which migration the tables are, as `alembic stamp` does. Needs: owner of the table.
INSERT INTO alembic_version (version_num) SELECT %s WHERE NOT EXISTS (SELECT FROM alembic_version)
