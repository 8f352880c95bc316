"""What maintenance looks at beside what a diagnosis does: logs, growth, unused images, use. Importing this registers the looks.

Nobody takes these unless they are asked for by name: reading logs of gigabytes is no part of a diagnosis.
"""

from samaops.collect.maintenance import (  # noqa: F401 - they register their looks
    cleanable,
    database,
    directories,
    images,
    logs,
    month,
    night,
    rotation,
    safety,
    silences,
    uploads,
    use,
)
