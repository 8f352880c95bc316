-- Purpose: want the lock that hold_row has. Needs: UPDATE on users.
UPDATE users SET phone = phone WHERE id = 1
