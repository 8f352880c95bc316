-- Which version the format of the history has; 0 in one that was made before it said so.
-- Needs: SQLite 3.8.
PRAGMA user_version
