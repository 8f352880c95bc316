-- Purpose: count anew what the planner knows of one table. Needs: its owner's role.
ANALYZE (SKIP_LOCKED) {relation}
