-- Purpose: write 16 MB of WAL that change nothing. Needs: superuser.
SELECT pg_logical_emit_message(false, 'samaops lab', repeat('x', 1024 * 1024)) FROM generate_series(1, 16)
