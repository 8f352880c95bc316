-- Purpose: drop a slot that nobody uses. Needs: superuser or replication.
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %(slot)s AND NOT active
