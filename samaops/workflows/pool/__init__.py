"""Looks at the connection pool for a DBA, each a list from PgBouncer's console; nothing is changed."""
