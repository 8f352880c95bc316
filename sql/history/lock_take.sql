-- Take the lock of one site if it is free; it is released when this session ends.
-- Needs: PostgreSQL 9.1.
SELECT pg_try_advisory_lock(:key)
