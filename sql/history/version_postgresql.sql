-- Which version the format of the history has; NULL in one that was made before it said so, and where a comment says another thing.
-- Needs: PostgreSQL 9.4, no privilege.
SELECT substring(obj_description(to_regclass('samaops_events'), 'pg_class') FROM '^samaops history ([0-9]{1,4})$')::integer
