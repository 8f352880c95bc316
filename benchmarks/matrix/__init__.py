"""The confusion matrix: each incident of the lab broken, named, repaired, healed, and compared with before.

``program`` has the loop, ``trial`` one turn of one incident, ``snapshot`` what must be as before (``services`` and
``servers`` read it), ``results`` the raw figures, ``table`` what is printed.
"""
