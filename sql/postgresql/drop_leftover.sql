-- Purpose: remove an index that a broken rebuild left. Needs: its owner's role.
DROP INDEX CONCURRENTLY {relation}
