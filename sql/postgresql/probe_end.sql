-- Purpose: take back what was written. Needs: any role.
ROLLBACK
