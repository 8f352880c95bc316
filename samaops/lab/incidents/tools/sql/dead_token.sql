-- Purpose: one of the dead push tokens, and how many there are. Needs: SELECT on users.
SELECT min(fcm_token), count(*)
FROM users
WHERE starts_with(fcm_token, %(prefix)s)
