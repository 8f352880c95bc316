-- Purpose: one relation of this database at a time, whoever asks from wherever; given back when the session ends.
-- Needs: any role.
SELECT pg_try_advisory_lock(hashtext('samaops upkeep'), hashtext(current_database())) AS is_ours
