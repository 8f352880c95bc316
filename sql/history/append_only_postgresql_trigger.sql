-- The journal is append-only: nobody changes or removes what was written.
-- Needs: PostgreSQL 14 (CREATE OR REPLACE TRIGGER), owner of the table.
CREATE OR REPLACE TRIGGER samaops_events_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON samaops_events
FOR EACH STATEMENT EXECUTE FUNCTION samaops_events_append_only()
