"""These tests have an environment of their own, for Ray is large: `make test-ray`.

Elsewhere they are not collected; who names them there is told that no test ran.
"""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("ray") else ["test_*.py"]
