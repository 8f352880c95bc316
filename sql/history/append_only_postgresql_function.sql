-- The journal is append-only: what the trigger of the table calls.
-- Needs: PostgreSQL 11, CREATE on the schema.
CREATE OR REPLACE FUNCTION samaops_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'samaops_events is append-only';
END
$$
