-- Purpose: write one table anew. Nobody reads or writes it meanwhile. Needs: its owner's role.
VACUUM (FULL, ANALYZE) {relation}
