-- Purpose: take the lock of one customer's row, and keep it until the transaction ends. Needs: UPDATE on users.
UPDATE users SET full_name = full_name WHERE id = 1
