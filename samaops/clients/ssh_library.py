"""paramiko, imported without the libraries that it wants for ``Match exec`` lines of an ssh_config alone.

samaops reads no ssh_config; invoke and its own YAML parser cost as much time as all of paramiko.
"""

from __future__ import annotations

import sys

_UNUSED = "invoke"

if _UNUSED in sys.modules:
    import paramiko
else:
    sys.modules[_UNUSED] = None  # type: ignore[assignment]  # Python's own way to say: cannot be imported
    try:
        import paramiko
    finally:
        del sys.modules[_UNUSED]

__all__ = ["paramiko"]
