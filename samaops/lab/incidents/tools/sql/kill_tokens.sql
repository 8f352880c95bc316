-- Purpose: make the push tokens of every other of the first customers dead, as FCM's stand-in knows them. Needs: UPDATE on users.
UPDATE users
SET fcm_token = %(prefix)s || id
WHERE id <= 2 * %(count)s AND mod(id, 2) = 0
