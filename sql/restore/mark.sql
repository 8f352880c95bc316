-- Commit something that is nothing, so that the log has a moment after the one that is wanted: recovery ends at the first
-- commit after it, and fails where there is none. Needs: PostgreSQL 13.
SELECT json_build_object('transaction', pg_current_xact_id()::text)
