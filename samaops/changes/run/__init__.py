"""The doers: one for each kind of operation, under the name of the system whose plans ask for it.

A new kind (an SQL statement, a file) is a function with ``@runs``; ``registered`` names their modules.
"""
