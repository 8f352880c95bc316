-- Purpose: take a setting out of postgresql.auto.conf. Needs: ALTER SYSTEM ON PARAMETER (PostgreSQL 15) or superuser.
ALTER SYSTEM RESET {name}
