"""Promise 7: nothing of a patient, and no secret, stands in the database in clear.

Every table is filled the way that orders, reports and answers really take; then the bytes
are searched: SQLite's file and its log, or all that PostgreSQL gives out.
"""

import hashlib
import logging
from datetime import timedelta
from decimal import Decimal

import pytest
from core.storage.people_rows import write_people
from core.storage.rows import NOW, destination, failed, outcome, rows_in
from pictures import photo
from sqlalchemy import select

from gateway.clock import SteppingClock
from gateway.model.account import DEFAULT_ACCOUNT, Caller
from gateway.model.audit import AuditEntry
from gateway.model.bag import Prescription
from gateway.model.ids import new_id
from gateway.model.order import Candidate, Order
from gateway.model.package import DeliveryUpdate, Proof
from gateway.model.recovery import Recovery
from gateway.model.submission import Idempotency, Submission
from gateway.plugin import Arrival, Credential, Inbox, PluginState, Token
from gateway.runtime import Gateway
from gateway.settings import parse_settings
from gateway.storage.database import Database
from gateway.storage.files.spool import NewFile, SealedSpool
from gateway.storage.schema import metadata
from gateway.storage.stores import recoveries
from gateway.storage.stores.outbox import Settled

CALLER = Caller(DEFAULT_ACCOUNT, "live", "key_1")
MARK = "Quillfeather"  # stands in every text that must not be found
ORDER = Order(
    patient_name=f"Maria {MARK}",
    patient_address=f"123 {MARK} St, Miami, FL 33178",
    patient_phone="+13055550199",
    patient_email=f"{MARK}@example.com",
    rx_number=f"RX-{MARK}-8872341",
    prescriptions=(
        Prescription(
            rx_number=f"RX-{MARK}-8872341", copay_amount=Decimal("7731.19"), controlled=True
        ),
        Prescription(rx_number=f"RX-{MARK}-8872342"),
    ),
    copay_amount=Decimal("7731.19"),
    notes=f"ring twice for {MARK}",
    external_patient_id=f"PMS-{MARK}-9081",
    external_order_id=f"SO-{MARK}-1001",
    site="main",
    metadata={f"{MARK}-key": f"{MARK}-value"},
)
PROOF = Proof(
    photo_url=f"https://photos.example.com/{MARK}.jpg",
    signature_url=f"https://signatures.example.com/{MARK}.png",
    signer_name=f"Ana {MARK}",
    signer_relationship=f"daughter of {MARK}",
    id_checked=f"{MARK}-passport",
    lat=25.861298765,
    lng=-80.298312345,
    left_at=f"{MARK}-porch",
)
PHOTO = photo()  # with the mark in its metadata
SETTINGS = {
    "url": f"https://hooks.example.com/{MARK}",
    "secret": f"whsec_{MARK}",
    "headers": {"Authorization": f"Bearer {MARK}"},
}
IDENTIFIERS = (
    ORDER.patient_name,
    ORDER.patient_phone,
    ORDER.patient_email,
    *(each.rx_number for each in ORDER.prescriptions),
    ORDER.external_patient_id,
    ORDER.external_order_id,
)


def never_in_clear(api_key):
    """Return all that must not be found, in the spellings that a disk might have it in."""
    texts = {MARK, MARK[::-1], "3055550199", "7731.19", "8842.57", "25.8612", "80.2983"}
    texts |= {api_key, api_key.rpartition("_")[2]}
    spellings = {each for text in texts for each in (text, text.lower(), text.upper())}
    found = {text.encode(code) for text in spellings for code in ("utf-8", "utf-16-le")}
    found |= {text.encode().hex().encode() for text in spellings}
    for value in IDENTIFIERS:  # without a key, a digest of so few possible values is no secret
        for spelling in (value, value.lower(), value.lstrip("+")):
            for digest in (hashlib.md5, hashlib.sha1, hashlib.sha256):
                found |= {digest(spelling.encode()).digest()}
                found |= {digest(spelling.encode()).hexdigest().encode()}
    return found


@pytest.fixture
async def gateway(database_url, tmp_path):
    toml = f'[database]\nurl = "{database_url}"\n[[sites]]\ncode = "main"\nname = "Lakeside"\n'
    settings = parse_settings(toml, source=None, directory=tmp_path, environ={})
    async with Gateway(settings, SteppingClock(NOW)) as opened:
        yield opened


async def take_an_order(gateway):
    """Hand in an order that is kept and one that is refused; returns the package's id."""
    refused = Order(patient_name=MARK * 50, patient_address=f"{MARK}\0", patient_phone=MARK)
    answer = await gateway.intake.accept(
        Submission(
            CALLER,
            "json_api",
            (Candidate(ORDER), Candidate(refused)),
            Idempotency(f"{MARK}-2026-01-01", hashlib.sha256(b"body").digest()),
        )
    )
    assert [each.status for each in answer.results] == ["created", "rejected"]
    return answer.results[0].package_id


async def report_its_delivery(gateway, package_id):
    await gateway.tracking.apply(
        CALLER,
        DeliveryUpdate(
            package_id=package_id,
            event="delivery.completed",
            driver_id="drv_b12c",  # a clear column
            proof=PROOF,
            copay_collected=Decimal("8842.57"),
            notes=f"left with {MARK}",
            event_ref=f"ref of {MARK}",
        ),
    )


async def keep_a_photo(gateway, package_id):
    owner = await gateway.files.owner_of_package(CALLER, package_id)
    with SealedSpool(1_000_000) as sent:
        sent.write(PHOTO)
        new = NewFile("photo", sent, sent.finish(), f"ref of {MARK}")
        await gateway.files.keep(CALLER, owner, new, key=f"{MARK}-key")


async def handle(message):
    return message.done()


async def keep_what_plugins_keep(gateway):
    """Store a plugin's own value, its token at another system, and a message that came in."""
    await PluginState("acme", gateway).put("cursor", f"until {MARK}")
    token = Token(access_token=f"access {MARK}", refresh_token=f"refresh {MARK}")
    await Credential("acme", "api", gateway, handle).store(token)
    inbox = Inbox("acme", gateway, handle)
    body = f'{{"customer": "{MARK}"}}'.encode()
    await inbox.put(Arrival(key="m-1", body=body, kind="orders", details={"shop": MARK}))
    await inbox.drained()


async def send_its_events(gateway, target):
    """Try both deliveries; what the other side answers repeats what it was sent."""
    async with gateway.database.begin() as connection:
        first, second = await gateway.outbox.claim(
            connection, target.id, limit=9, now=NOW, lease_seconds=60
        )
        echo = f'{{"got": "{MARK}"}}'.encode()
        arrived = Settled(first, outcome(first, excerpt=echo), None)
        await gateway.outbox.settle(
            connection, [arrived, failed(second, error="timeout", excerpt=echo)], NOW
        )


async def look_at_it(gateway, package_id):
    async with gateway.database.read() as connection:
        package = await gateway.packages.get(connection, CALLER, package_id)
    keys = gateway.packages.patient_keys(package)
    await gateway.audit.note(
        [AuditEntry(DEFAULT_ACCOUNT, "key_1", "package.viewed", package_id, keys)]
    )


async def start_a_recovery(gateway, target):
    begun = Recovery(
        id=new_id("rcv", NOW),
        account_id=target.account_id,
        destination_id=target.id,
        since=NOW - timedelta(days=1),
        until=NOW,
        cursor="",
        looked_at=0,
        queued=0,
        state="running",
        created_at=NOW,
        finished_at=None,
    )
    async with gateway.database.begin() as connection:
        await recoveries.add(connection, begun)


async def fill(gateway):
    """Put rows into every table; returns the API key and the package's id."""
    issued = await gateway.keys.issue("till", account_id=DEFAULT_ACCOUNT, actor="cli:ana")
    target = destination(CALLER, settings=SETTINGS)
    async with gateway.database.begin() as connection:
        await gateway.destinations.add(connection, target)
    package_id = await take_an_order(gateway)
    await report_its_delivery(gateway, package_id)
    await send_its_events(gateway, target)
    await keep_a_photo(gateway, package_id)
    await keep_what_plugins_keep(gateway)
    await look_at_it(gateway, package_id)
    await start_a_recovery(gateway, target)
    async with gateway.database.begin() as connection:
        await write_people(connection, gateway.sealer, NOW, MARK)
    async with gateway.database.read() as connection:
        empty = [
            table.name for table in metadata.sorted_tables if not await rows_in(connection, table)
        ]
    assert sorted(empty) == ["disclosures", "job_runs", "plan_usage"]
    return issued.key, package_id


def on_the_disk(folder):
    """Return all bytes of SQLite's files; the master key is the one thing kept beside them."""
    files = [each for each in folder.rglob("*") if each.is_file() and each.name != "master.key"]
    assert files
    return b"\n".join(each.read_bytes() for each in files)


async def all_that_is_given_out(url):
    """Return every column of every row, as PostgreSQL hands it out."""
    database = Database(url)
    parts = []
    async with database.read() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                parts += [
                    value if isinstance(value, bytes) else str(value).encode() for value in row
                ]
    await database.close()
    return b"\n".join(parts)


async def test_nothing_of_a_patient_and_no_secret_is_found(gateway, database_url, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    api_key, package_id = await fill(gateway)

    if gateway.database.dialect == "sqlite":
        assert (tmp_path / "gateway.db-wal").stat().st_size > 0
        stored = on_the_disk(tmp_path)
        await gateway.database.close()  # the log goes into the file
        stored += on_the_disk(tmp_path)
    else:
        stored = await all_that_is_given_out(database_url)

    # What may be read is found, so the search is not looking in the wrong place
    for readable in (package_id, "delivery.completed", "Dispatch board", "Lakeside", api_key[:12]):
        assert readable.encode() in stored, readable
    # … and nothing else is
    found = {each for each in never_in_clear(api_key) if each in stored}
    assert found == set()
    # … nor does the most talkative log say it
    assert MARK.lower() not in caplog.text.lower()
    assert not [each for each in never_in_clear(api_key) if each in caplog.text.encode()]


async def test_what_is_sealed_is_all_there_for_who_holds_the_key(gateway):
    _, package_id = await fill(gateway)

    async with gateway.database.read() as connection:
        package = await gateway.packages.get(connection, CALLER, package_id)
        created, completed = await gateway.events.of_subject(connection, CALLER, package_id)
        (target,) = await gateway.destinations.list(connection, CALLER)

    assert package.order == ORDER
    assert created.data["external_patient_id"] == f"PMS-{MARK}-9081"
    assert completed.data["notes"] == f"left with {MARK}"
    assert str(completed.data["copay_collected"]) == "8842.57"
    assert target.settings == SETTINGS
