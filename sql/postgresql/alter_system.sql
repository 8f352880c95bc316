-- Purpose: write a setting into postgresql.auto.conf. Needs: ALTER SYSTEM ON PARAMETER (PostgreSQL 15) or superuser.
ALTER SYSTEM SET {name} = %(value)s
