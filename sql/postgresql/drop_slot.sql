-- Purpose: drop a replication slot that nobody is connected to. Needs: REPLICATION or superuser.
SELECT pg_drop_replication_slot(slot_name) IS NOT NULL AS is_done
FROM pg_replication_slots
WHERE slot_name = %(name)s AND NOT active
