-- Purpose: remove the table of the load. Needs: its owner.
DROP TABLE IF EXISTS import_releves
