-- Purpose: the push tokens of the first customers, for a message to everybody. Needs: SELECT on users.
SELECT id, fcm_token
FROM users
WHERE fcm_token IS NOT NULL
ORDER BY id
LIMIT %(limit)s
