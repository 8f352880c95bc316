"""Faults that no cause in the code knows, from public reports: broken on the lab, looked at, judged, healed."""
