-- The journal is append-only: nobody removes what was written.
-- Needs: SQLite 3.8.
CREATE TRIGGER IF NOT EXISTS samaops_events_no_delete BEFORE DELETE ON samaops_events
BEGIN
    SELECT RAISE(ABORT, 'samaops_events is append-only');
END
