"""Files over HTTP: kept with a package, listed, opened; sealed wherever they are."""

import asyncio
import gc
import hashlib
import logging
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pictures import MARK, body, fax, noise, photo, saved
from sqlalchemy import select

from gateway.storage.schema import audit, file_chunks, files

ORDER = {"patient_name": "Ana Silva", "patient_address": "1 Lake Rd", "rx_number": "RX-1"}
PLUGINS = """
[plugins.json_api]
[limits]
reads_per_minute = 1000000
updates_requests_per_minute = 1000000
"""


class Client:
    """A gateway, one of its keys, and a package to send files for."""

    def __init__(self, harness, key, package_id):
        self.harness, self.key, self.package_id = harness, key, package_id
        self.files = harness.gateway.files

    async def send(self, content, *, key=None, package_id=None, headers=None, **fields):
        sent, own = body(content, **{"kind": "photo", **fields})
        path = f"/api/packages/{package_id or self.package_id}/files"
        headers = {**own, **(headers or {})}
        return await self.harness.request("POST", path, key or self.key, sent, headers)

    async def get(self, path, key=None):
        return await self.harness.get(path, key or self.key)


@pytest.fixture
async def client(harness):
    async with harness(PLUGINS) as opened:
        key = await opened.issue_key()
        answer = await opened.post("/api/webhook/orders", key, {"orders": [ORDER]})
        yield Client(opened, key, answer.json()["package_ids"][0])


async def test_a_photo_comes_back_the_same_each_time_and_without_its_metadata(client):
    sent = photo(size=(2000, 1500))
    answer = await client.send(sent)
    kept = answer.json()
    reads = [await client.get(f"/api/files/{kept['file_id']}") for _ in range(3)]
    small = await client.get(f"/api/files/{kept['file_id']}?thumbnail=true")
    listed = await client.get(f"/api/packages/{client.package_id}/files")

    assert answer.status_code == 201
    size = len(reads[0].content)
    assert kept == {
        "file_id": kept["file_id"],
        "url": f"http://localhost:8080/api/files/{kept['file_id']}",
        "kind": "photo",
        "media_type": "image/jpeg",
        "size_bytes": size,
        "width": 2000,
        "height": 1500,
    }
    assert {each.status_code for each in reads} == {200}
    assert len({each.content for each in reads}) == 1
    assert size > 65_536  # more than one row of it
    assert MARK.encode() in sent
    assert MARK.encode() not in reads[0].content
    assert reads[0].headers["content-length"] == str(size)
    assert reads[0].headers["content-type"] == "image/jpeg"
    name = f"{kept['file_id']}.jpg"
    assert reads[0].headers["content-disposition"] == f'attachment; filename="{name}"'
    assert reads[0].headers["x-content-type-options"] == "nosniff"
    assert reads[0].headers["cache-control"] == "no-store"
    assert small.headers["content-type"] == "image/jpeg"
    assert len(small.content) < size
    [entry] = listed.json()["files"]
    assert (entry["file_id"], entry["has_thumbnail"]) == (kept["file_id"], True)


async def test_who_added_and_opened_a_file_is_in_the_audit_trail(client):
    answer = await client.send(photo())
    file_id = answer.json()["file_id"]
    await client.get(f"/api/files/{file_id}")
    await client.harness.post(f"/api/files/{file_id}/revoke", client.key)
    async with client.harness.gateway.database.read() as connection:
        rows = await connection.execute(
            select(audit.c.action).where(audit.c.subject == file_id).order_by(audit.c.sequence)
        )
        actions = [row[0] for row in rows]

    assert actions == ["file.added", "file.viewed", "file.links_revoked"]


@pytest.mark.parametrize(
    ("content", "fields", "status", "field"),
    [
        (b"<svg onload='alert(1)'/>", {}, 415, None),
        (b"not a picture", {}, 415, None),
        (b"", {}, 400, None),
        (photo(), {"kind": "selfie"}, 400, "kind"),
        (photo(), {"kind": "label"}, 400, "kind"),
        (photo(), {"event_ref": "x" * 300}, 400, "event_ref"),
        (fax(), {}, 400, "file"),
        (photo() + b"<script>", {}, 400, None),
        (photo(), {"kind": "photo" * 2000}, 413, None),
        (b"\xff\xd8\xff" + bytes(10_000_001), {}, 413, None),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value)[:20],
)
async def test_what_isnt_kept_is_refused_in_the_one_shape(client, content, fields, status, field):
    answer = await client.send(content, **fields)

    said = answer.json()
    assert (answer.status_code, set(said)) == (status, {"error", "code", "details"})
    assert [each.get("field") for each in said["details"]] == ([] if field is None else [field])
    async with client.harness.gateway.database.read() as connection:
        assert (await connection.execute(select(files))).first() is None
        assert (await connection.execute(select(file_chunks))).first() is None


async def test_a_package_of_another_site_or_mode_takes_and_shows_no_file(client):
    answer = await client.send(photo())
    file_id = answer.json()["file_id"]
    statuses = []
    for reach in ({"mode": "test"}, {"account_id": "other"}):
        key = await client.harness.issue_key(**reach)
        statuses += [
            (await client.send(photo(), key=key)).status_code,
            (await client.get(f"/api/packages/{client.package_id}/files", key)).status_code,
            (await client.get(f"/api/files/{file_id}", key)).status_code,
            (await client.harness.post(f"/api/files/{file_id}/revoke", key)).status_code,
        ]
    nobody = await client.harness.get(f"/api/files/{file_id}")

    assert statuses == [404] * 8
    assert nobody.status_code == 401


async def test_a_repeated_upload_gives_the_first_answer_and_keeps_one_file(client):
    key = {"Idempotency-Key": "drop-17"}
    first = await client.send(photo(), headers=key)
    again = await client.send(photo(), headers=key)
    other = await client.send(photo("PNG"), headers=key)
    bad = await client.send(photo(), headers={"Idempotency-Key": "two words"})
    both = await asyncio.gather(
        *(client.send(photo(), headers={"Idempotency-Key": "at-once"}) for _ in range(2))
    )
    async with client.harness.gateway.database.read() as connection:
        kept = (await connection.execute(select(files.c.id))).all()

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, bad.status_code) == (422, 400)
    assert both[0].json() == both[1].json()
    assert len(kept) == 2


async def test_without_the_libraries_the_answer_says_what_to_install(client):
    client.files._installed = lambda _name: False
    answer = await client.send(photo())

    assert (answer.status_code, answer.json()["code"]) == (501, "missing_extra")
    assert 'pip install "rx-gateway[files]"' in answer.json()["error"]


def open_files_of_this_process():
    """Return the bytes of every file that this process has open, those without a name too."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = str(each.readlink())
            if target.startswith("/") and not target.startswith(("/dev", "/proc")):
                found.append(each.read_bytes())
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
async def test_nothing_of_a_file_is_in_clear_on_the_disk_at_any_moment(
    client, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    content = saved(noise(900, 900), quality=95)  # 600 KB without any repetition
    sent, headers = body(content, kind="photo", name=f"{MARK}.jpg")
    pieces = {content[start : start + 24] for start in range(0, len(content) - 24, 1009)}
    seen = []

    def look():
        stored = [each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()]
        seen.append(b"\n".join(stored + open_files_of_this_process()))

    async def slowly():
        for start in range(0, len(sent), 50_000):
            yield sent[start : start + 50_000]
            await asyncio.sleep(0.01)
            look()

    answer = await client.harness._client.post(
        f"{client.harness.url}/api/packages/{client.package_id}/files",
        content=slowly(),
        headers={**headers, "X-API-Key": client.key},
    )
    file_id = answer.json()["file_id"]
    kept = (await client.get(f"/api/files/{file_id}")).content
    look()
    await client.harness.gateway.database.close()
    look()

    assert answer.status_code == 201
    assert sum(len(each) for each in seen) > 2 * len(content)
    pieces |= {kept[start : start + 24] for start in range(0, len(kept) - 24, 1009)}
    everything = b"\n".join(seen)
    assert [each for each in pieces if each in everything] == []
    assert file_id.encode() in everything  # so the search looks in the right place
    assert MARK not in caplog.text


async def test_a_large_file_is_never_in_memory_as_a_whole(client, tmp_path):
    content = saved(noise(3800, 2600), quality=91)
    assert 8_000_000 < len(content) < 10_000_000
    sent, headers = body(content, kind="photo")
    source = tmp_path / "body"
    source.write_bytes(sent)
    size = len(sent)
    del content, sent

    async def streamed():
        with source.open("rb") as opened:
            while piece := opened.read(65_536):
                yield piece

    await client.send(photo())  # imports and pools are warm
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    answer = await client.harness._client.post(
        f"{client.harness.url}/api/packages/{client.package_id}/files",
        content=streamed(),
        headers={**headers, "X-API-Key": client.key},
    )
    into = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    read = hashlib.sha256()
    length = 0
    path = f"{client.harness.url}/api/files/{answer.json()['file_id']}"
    async with client.harness._client.stream("GET", path, headers={"X-API-Key": client.key}) as got:
        async for piece in got.aiter_bytes(65_536):
            read.update(piece)
            length += len(piece)
    out = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()

    assert answer.status_code == 201
    assert length == answer.json()["size_bytes"] > size // 2
    assert into < 4_000_000
    assert out < 4_000_000


PARTS = st.sampled_from(
    [
        b"--frontier\r\n",
        b"--frontier--\r\n",
        b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
        b'Content-Disposition: form-data; name="kind"\r\n\r\nphoto\r\n',
        b'Content-Disposition: form-data; name="file"\r\nContent-Type: text/html\r\n\r\n',
        b"\r\n",
        b"\xff\xd8\xff\xe0",
        b"%PDF-1.7",
        b"\0" * 100,
        b"Content-Disposition: form-data; name=\xff\r\n\r\n",
    ]
)


@examples(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PARTS | st.binary(max_size=50), max_size=12).map(b"".join))
async def test_any_body_is_answered_with_a_4xx_or_kept(client, sent):
    headers = {"Content-Type": "multipart/form-data; boundary=frontier"}
    path = f"/api/packages/{client.package_id}/files"
    answer = await client.harness.request("POST", path, client.key, sent, headers)

    assert answer.status_code in {201, 400, 413, 415}, answer.text


async def test_a_link_is_not_in_the_log(client, caplog):
    caplog.set_level(logging.INFO)
    link = "A" * 88
    answer = await client.harness.get(f"/files/{link}")

    assert answer.status_code == 404
    ours = [each.__dict__ for each in caplog.records if each.name.startswith("gateway")]
    assert link not in str(ours)
    assert "/files/{token}" in [each.get("route") for each in ours]
