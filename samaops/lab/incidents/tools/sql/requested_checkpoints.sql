-- Purpose: checkpoints that somebody asked for, and those that came by time. Needs: PostgreSQL up to 16.
SELECT checkpoints_req, checkpoints_timed FROM pg_stat_bgwriter
