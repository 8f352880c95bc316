"""Faults that the lab can have on purpose: each is caused, proved to be live, and healed.

``running`` has the commands, ``incident`` says what an incident is, ``mechanisms`` has the faults that recur. The
incidents stand by what is broken: ``api``, ``notifications``, ``google``, ``tasks``, ``database``, ``disk``, ``redis``.
``site`` is the lab that they act on; the others are tools: ``broker``, ``sessions``, ``traffic``, ``network``, ``hold``.
"""
