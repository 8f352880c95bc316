"""Faults that the lab can have on purpose: each is caused, proved to be live, and healed.

``running`` has the commands, ``incident`` says what an incident is, ``mechanisms`` has the faults that recur. The
incidents stand by the system that is broken, as everywhere: ``servers``, ``postgresql``, ``celery``, ... ``site`` is the
lab that they act on, ``tools`` what they work with.
"""
