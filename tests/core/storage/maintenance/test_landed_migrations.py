"""A landed migration never changes: databases in the field have run it as it was."""

import hashlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
FOLDERS = (
    ROOT / "gateway/storage/migrations/versions",
    *sorted(ROOT.glob("plugins/*/gateway_*/migrations")),
)


def digests(folder):
    """Return the listed digests by file name."""
    lines = (folder / "digests.txt").read_text("utf-8").splitlines()
    return dict(line.split() for line in lines)


def digest_of(path):
    # As text, so that line ends of a checkout on Windows don't count.
    return hashlib.sha256(path.read_text("utf-8").encode()).hexdigest()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_every_migration_is_as_it_landed(folder):
    listed = digests(folder)
    found = {path.name: digest_of(path) for path in sorted(folder.glob("*.py"))}

    changed = [name for name in listed if found.get(name) != listed[name]]
    assert changed == [], "a landed migration changed: write a new one instead"
    new = [f"{name} {digest}" for name, digest in found.items() if name not in listed]
    assert new == [], f"add these lines to {folder.relative_to(ROOT)}/digests.txt"


def test_the_core_and_every_stock_plugin_with_tables_list_their_migrations():
    assert len(FOLDERS) >= 4
    assert all((folder / "digests.txt").is_file() for folder in FOLDERS)
