"""What the checklists look at besides what a diagnosis does: importing this registers the looks."""

from samaops.collect.checklist import balancer, book, host, names  # noqa: F401 - they register their looks
