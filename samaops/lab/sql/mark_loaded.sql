-- Purpose: remember that the tables are filled. Needs: owner of the table.
COMMENT ON TABLE public.consumption IS 'filled by the lab'
