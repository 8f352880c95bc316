-- Purpose: whether the index by which the sessions of a user are found is there. Needs: any role.
SELECT FROM pg_indexes WHERE indexname = 'sessions_user_id_idx'
