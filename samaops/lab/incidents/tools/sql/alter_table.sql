-- Purpose: a change of a table that changes nothing, and wants it for itself alone. Needs: the owner of consumption.
ALTER TABLE consumption ALTER COLUMN period SET NOT NULL
