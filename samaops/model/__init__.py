"""The words of samaops: status, finding, cause, plan, report. Frozen structs; the standard library and msgspec only."""
