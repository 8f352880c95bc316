-- The backend that serves this session.
-- Needs: PostgreSQL 9.1.
SELECT pg_backend_pid()
