"""How large a package is with all that it needs. Run by the Python that has it:

    .venv-peers/mosec/bin/python load_tests/peers/installed.py mosec onnxruntime

Prints JSON: bytes of each distribution that is among them. What else is in the environment
(pip, or for ours what tests need) does not count.
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

# Every environment has pip, and only pip is certain to know how to read requirements.
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def sizes(roots: list[str]) -> dict[str, int]:
    """Bytes by distribution. Raises PackageNotFoundError if a root is not there."""
    for root in roots:
        distribution(Requirement(root).name)
    waiting = [Requirement(root) for root in roots]
    seen: set[tuple[str, str]] = set()
    found: dict[str, int] = {}
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        try:
            package = distribution(wanted.name)
        except PackageNotFoundError:
            continue  # for another system, or of an extra that nobody asked for
        found.setdefault(name, size(package.files or [], package.read_text("direct_url.json")))
        for extra in ("", *wanted.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                for line in package.requires or []:
                    needed = Requirement(line)
                    if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                        waiting.append(needed)
    return found


def size(files: list, direct_url: str | None) -> int:
    """Bytes of a distribution's files; of its folder's packages if it was installed from one."""
    paths = [Path(str(file.locate())) for file in files]
    if direct_url and json.loads(direct_url).get("dir_info", {}).get("editable"):
        folder = Path(json.loads(direct_url)["url"].removeprefix("file://"))
        for package in folder.glob("*/__init__.py"):
            if package.parent.name != "tests":
                paths += package.parent.rglob("*")
    return sum(path.lstat().st_size for path in set(paths) if path.is_file())


if __name__ == "__main__":
    print(json.dumps(sizes(sys.argv[1:])))
