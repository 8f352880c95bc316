-- Purpose: what the application asks for each request, by the index sessions_user_id_idx. Needs: SELECT on sessions.
SELECT found.count, pg_sleep(0.2) FROM (SELECT count(*) FROM sessions WHERE user_id = %(id)s) AS found
