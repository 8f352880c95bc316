-- Purpose: write the load out before the counters start. Needs: superuser.
CHECKPOINT
