-- Purpose: vacuum one table; what somebody has locked is skipped, with a warning. Needs: its owner's role.
VACUUM (SKIP_LOCKED, TRUNCATE {truncate}, ANALYZE {analyze}) {relation}
