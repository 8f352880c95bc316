"""Flags, prompts, exit codes: a translation table between the command line and the workflows."""
