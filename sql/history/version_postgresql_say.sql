-- Let the history say that its format is version 1.
-- Needs: PostgreSQL 9.4, the table's owner.
COMMENT ON TABLE samaops_events IS 'samaops history 1'
