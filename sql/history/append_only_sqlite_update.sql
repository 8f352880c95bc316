-- The journal is append-only: nobody changes what was written.
-- Needs: SQLite 3.8.
CREATE TRIGGER IF NOT EXISTS samaops_events_no_update BEFORE UPDATE ON samaops_events
BEGIN
    SELECT RAISE(ABORT, 'samaops_events is append-only');
END
