-- Purpose: write all that is dirty in shared buffers, now. Needs: pg_checkpoint (PostgreSQL 15) or superuser.
CHECKPOINT
