-- Purpose: whether it is there.
SELECT 1 FROM pg_class WHERE relname = 'archives_sms'
