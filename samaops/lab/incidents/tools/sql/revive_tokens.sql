-- Purpose: give every customer with a dead push token the one he had. Needs: UPDATE on users.
UPDATE users
SET fcm_token = 'lab-token-' || id
WHERE starts_with(fcm_token, %(prefix)s)
