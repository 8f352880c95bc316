-- Purpose: rebuild one index beside itself; everybody reads and writes on. Needs: its owner's role.
REINDEX INDEX CONCURRENTLY {relation}
