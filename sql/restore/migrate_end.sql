-- Behind the statements of a migration tool: the database must be where they lead, else nothing of it is kept.
:samaops_after \gset
\if :samaops_is_there
\else
DO $$ BEGIN RAISE EXCEPTION 'the statements do not lead to the revision that was planned'; END $$;
\endif
COMMIT;
SELECT json_build_object('is_done', true)
