-- Purpose: drop the index by which the sessions of a user are found. Needs: the owner.
DROP INDEX IF EXISTS sessions_user_id_idx
