"""Faults that the lab can have on purpose: each is caused, proved to be live, and healed.

``running`` has the commands, ``incident`` says what an incident is, and there is one module for each runbook
(``proxies`` beside ``notifications``); the others are the tools that incidents work with.
"""
