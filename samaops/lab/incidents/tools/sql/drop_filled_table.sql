-- Purpose: remove it. Needs: superuser.
DROP TABLE IF EXISTS archives_sms
