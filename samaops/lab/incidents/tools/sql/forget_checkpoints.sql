-- Purpose: forget the checkpoints that were asked for. Needs: superuser.
SELECT pg_stat_reset_shared('bgwriter')
