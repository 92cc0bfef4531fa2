"""``gateway files``, and what ``gateway status`` says of them."""

import json
import stat
import sys

import pytest
from pictures import MARK, photo

from gateway.model.account import Caller
from gateway.model.file import StoredFile
from gateway.storage.files.spool import NewFile, SealedSpool
from gateway.storage.files.store import FileFilter

CALLER = Caller("default", "live", "key_1")


@pytest.fixture
def kept(stock) -> StoredFile:
    """A photo of a package that the gateway keeps."""
    package_id, _ = stock.order(site="main")

    async def keep(gateway):
        owner = await gateway.files.owner_of_package(CALLER, package_id)
        with SealedSpool(1_000_000) as sent:
            sent.write(photo())
            await gateway.files.keep(CALLER, owner, NewFile("photo", sent, sent.finish()))
        return (await gateway.files.page(CALLER, FileFilter(1)))[0]

    return stock.do(keep)


def test_files_are_listed_by_what_they_belong_to_and_their_kind(read, kept):
    listed = read("files", "list", "--of", kept.subject, "--kind", "photo")

    assert [(each["id"], each["size_bytes"]) for each in listed] == [(kept.id, kept.size_bytes)]
    assert read("files", "list", "--kind", "fax_page") == []
    assert read("files", "list", "--of", "pkg_other") == []
    assert read("files", "list", "--test") == []


def test_a_file_is_saved_for_its_owner_alone_and_never_over_another(run, kept, tmp_path, stock):
    saved = json.loads(run("files", "save", kept.id, str(tmp_path), "--json").stdout)
    again = run("files", "save", kept.id, str(tmp_path))

    path = tmp_path / f"{kept.id}.jpg"
    assert saved["saved_to"] == str(path)
    content = path.read_bytes()
    assert (len(content), content[:2]) == (kept.size_bytes, b"\xff\xd8")
    assert MARK.encode() not in content
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (again.exit_code, "is there already" in again.stderr) == (1, True)
    assert [subject for _, subject, _ in stock.audited("file.viewed")] == [kept.id]


def test_links_are_revoked_and_the_file_stays(read, kept, stock):
    revoked = read("files", "revoke", kept.id)

    assert revoked["links"] == "revoked"
    [listed] = read("files", "list")
    assert listed["links_revoked_at"] is not None
    assert [subject for _, subject, _ in stock.audited("file.links_revoked")] == [kept.id]


def test_a_file_is_removed_when_that_is_confirmed(run, read, kept, stock):
    asked = run("files", "remove", kept.id)
    assert (asked.exit_code, "for good?" in asked.stdout) == (1, True)
    assert len(read("files", "list")) == 1

    run("files", "remove", kept.id, "--yes")

    assert read("files", "list") == []
    assert [subject for _, subject, _ in stock.audited("file.removed")] == [kept.id]


@pytest.mark.parametrize("words", [["save", "x", "y"], ["revoke", "x"], ["remove", "x", "--yes"]])
def test_a_file_that_isnt_here_is_an_error_with_the_way_to_find_it(run, stock, words):
    stock.order(site="main")

    failed = run("files", *words)

    assert (failed.exit_code, "gateway files list shows" in failed.stderr) == (1, True)


def test_status_says_how_much_space_files_take(run, kept):
    shown = run("status", "--json").stdout

    [line] = [each for each in json.loads(shown)["checks"] if each["name"] == "stored files"]
    assert line["ok"] is True
    assert (
        line["detail"] == f"1 kept, {(kept.size_bytes + kept.thumbnail_bytes) / (1 << 20):.1f} MB"
    )
