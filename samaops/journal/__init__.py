"""What was changed and what was seen: the journal, the records of runs, and the lock that lets one change at a time."""
