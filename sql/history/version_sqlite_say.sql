-- Let the history say that its format is version 1.
-- Needs: SQLite 3.8, to be called as often as wanted.
PRAGMA user_version = 1
