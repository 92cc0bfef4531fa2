"""``gateway demo --keep`` from outside: a process, its code over HTTP, its pages, its end."""

import asyncio
import json
import os
import re
import signal
import sys

import httpx
import pytest
from waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

PEOPLE = re.compile(r'name="person" value="(per_[^"]+)"')
FORM = {"Sec-Fetch-Site": "same-origin"}


async def begin(folder):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "demo", "--keep", "--json",
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def page(answer):
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_anyone_looks_around_with_the_code_and_ctrl_c_removes_everything(tmp_path):
    async with asyncio.timeout(PATIENCE_SECONDS):
        demo = await begin(tmp_path)
        try:
            said = json.loads(await demo.stdout.readline())
            home = said["address"].removesuffix("/demo")
            async with (
                httpx.AsyncClient(base_url=home, headers=FORM, timeout=60) as visitor,
                httpx.AsyncClient(base_url=home, headers=FORM, timeout=60) as other,
            ):
                people = PEOPLE.findall(page(await visitor.get("/demo")))
                assert len(people) == 7
                origin = {"Origin": home}
                wrong = {"code": "AAAA-AAAA", "person": people[0]}
                refused = await visitor.post("/demo", data=wrong, headers=origin)
                assert (refused.status_code, "This code was used" in refused.text) == (400, True)
                assert (await visitor.get("/dashboard/packages")).status_code == 303

                right = {"code": said["code"].lower(), "person": people[0]}
                entered = await visitor.post("/demo", data=right, headers=origin)
                assert (entered.status_code, entered.headers["location"]) == (303, "/dashboard")
                assert (await other.post("/demo", data=right, headers=origin)).status_code == 400

                today = page(await visitor.get("/dashboard"))
                assert "The endpoint Patient portal fails" in today
                for sentence in (
                    "rows of an import",
                    "prescriptions have waited for review",
                    "lakeside-demo.myshopify.com",
                ):
                    assert sentence in today
                packages = page(await visitor.get("/dashboard/packages"))
                for status in ("Created", "Ready", "Picked up", "Delivered", "Cancelled"):
                    assert status in packages
                day = page(await visitor.get("/dashboard/reports?site=queen"))
                assert "Close this day" in day
                assert "passkey" in page(await visitor.get("/dashboard/me/factors"))

                # The browser that used the code looks as others, without one.
                assert 'name="code"' not in page(await visitor.get("/demo"))
                privacy = {"person": people[-1]}
                again = await visitor.post("/demo", data=privacy, headers=origin)
                assert again.status_code == 303
                assert (await visitor.get("/dashboard/keys")).status_code == 403
            demo.send_signal(signal.SIGINT)
            _, err = await demo.communicate()
        finally:
            if demo.returncode is None:
                demo.kill()

    assert demo.returncode == 0, err
    assert list(tmp_path.iterdir()) == []


async def test_a_demo_that_is_stopped_while_it_is_filled_leaves_nothing_behind(tmp_path):
    async with asyncio.timeout(PATIENCE_SECONDS):
        demo = await begin(tmp_path)
        try:
            assert b"Filling" in await demo.stderr.readline()
            assert list(tmp_path.iterdir()) != []
            demo.send_signal(signal.SIGTERM)
            out, err = await demo.communicate()
        finally:
            if demo.returncode is None:
                demo.kill()

    assert (demo.returncode, out) == (0, b""), err
    assert list(tmp_path.iterdir()) == []


async def test_a_port_that_is_taken_is_named(tmp_path):
    async with asyncio.timeout(PATIENCE_SECONDS):
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        demo = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "demo", "--keep", "--port", str(port),
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, err = await demo.communicate()
        server.close()

    assert demo.returncode == 1
    assert f"gateway: Port {port} can't be listened on" in err.decode()
    assert list(tmp_path.iterdir()) == []
