-- Purpose: know what is in it.
ANALYZE archives_sms
