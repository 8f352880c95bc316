-- Purpose: let the role that only watches see which notifications are due. Needs: owner of the table.
GRANT SELECT (created_at, sent_at) ON notifications TO samaops
