"""The version of this distribution, which hatchling also reads, and the id of this build."""

import hashlib
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"
DISTRIBUTION = "rx-gateway"


@cache
def build_id() -> str:
    """Return twelve hex digits of a digest of the installed source, the stock plugins included.

    Two builds of one version have different ids.
    """
    digest = hashlib.sha256()
    for root in _packages():
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root.parent).as_posix()
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _packages() -> list[Path]:
    """Return the folders of this package and of the plugins in the same distribution."""
    found = [Path(__file__).parent]
    for entry_point in entry_points(group="gateway.plugins"):
        if entry_point.dist is not None and entry_point.dist.name == DISTRIBUTION:
            spec = find_spec(entry_point.module.partition(".")[0])
            found += map(Path, (spec and spec.submodule_search_locations) or ())
    return sorted(found)
