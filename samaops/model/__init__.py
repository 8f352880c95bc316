"""The words of samaops: status, finding, cause, plan, report. Frozen dataclasses, standard library only."""
