-- Purpose: the push tokens of some customers. Needs: SELECT on users.
SELECT id, fcm_token
FROM users
WHERE id = ANY(%(user_ids)s) AND fcm_token IS NOT NULL
ORDER BY id
