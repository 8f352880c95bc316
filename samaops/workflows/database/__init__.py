"""Looks at the database for a DBA, each a list; nothing is changed."""
