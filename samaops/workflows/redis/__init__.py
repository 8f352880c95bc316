"""Looks at Redis that answer with a list, a module a look."""
