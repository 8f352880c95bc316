-- Purpose: a checkpoint now, as a script asks for it. Needs: pg_checkpoint or superuser, no transaction.
CHECKPOINT
