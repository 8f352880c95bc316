-- Purpose: a physical replication slot that keeps WAL from now on. Needs: superuser or replication.
SELECT pg_create_physical_replication_slot(%(slot)s, true)
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %(slot)s)
