-- Purpose: a cheap statement that is on its way for a moment. Needs: SELECT on users.
SELECT full_name, pg_sleep(0.1) FROM users WHERE id = %(id)s
