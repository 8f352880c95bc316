-- Purpose: make the index again, as the application's schema has it. Needs: the owner.
CREATE INDEX IF NOT EXISTS sessions_user_id_idx ON sessions (user_id)
