"""One line for each request, and what it is about."""

import logging
import socket
import sqlite3

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from gateway.errors import StorageError
from gateway.http.access_log import AccessLog

PLUGINS = "[plugins.json_api]\n"
ORDERS = "/api/webhook/orders"
GOOD = {"orders": [{"patient_name": "Maria Rodriguez", "patient_address": "1 Ocean Dr"}]}
LOGGER = "gateway.http.access_log"


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    return lambda: [
        each for each in caplog.records if (each.name, each.getMessage()) == (LOGGER, "answered")
    ]


async def test_each_request_has_one_log_line_with_method_route_status_and_key(harness, lines):
    async with harness(PLUGINS) as gateway:
        issued = await gateway.gateway.keys.issue("x", account_id="default", actor="test")
        answer = await gateway.post(f"{ORDERS}?patient=Rodriguez", issued.key, GOOD)

    [line] = lines()
    assert line.levelno == logging.INFO
    assert (line.method, line.route, line.status) == ("POST", ORDERS, answer.status_code)
    assert line.key_id == issued.id
    assert 0 < line.duration_ms < 20_000
    assert line.getMessage() == "answered"
    assert "Rodriguez" not in str(vars(line))


async def test_the_log_line_has_the_id_of_the_answer(harness, caplog):
    from gateway.cli.logs import TextLines

    written = []

    class Noting(logging.Handler):
        def emit(self, record):
            written.append(self.format(record))

    handler = Noting()
    handler.setFormatter(TextLines())
    log = logging.getLogger(LOGGER)
    log.addHandler(handler)
    caplog.set_level(logging.INFO, LOGGER)
    async with harness(PLUGINS) as gateway:
        answers = [await gateway.get("/api/packages") for _ in range(2)]
    log.removeHandler(handler)

    for line, answer in zip(written, answers, strict=True):
        assert f"request_id={answer.headers['x-request-id']}" in line
    assert written[0] != written[1]


async def test_the_record_of_a_request_has_all_that_logging_gives_one(harness, lines):
    async with harness(PLUGINS) as gateway:
        await gateway.get("/api/packages")

    [line] = lines()
    usual = logging.makeLogRecord({})
    assert vars(usual).keys() - vars(line).keys() == set()
    assert (
        logging.Formatter("%(asctime)s %(levelname)s %(name)s")
        .format(line)
        .endswith(f"INFO {LOGGER}")
    )
    assert abs(line.created - usual.created) < 60


@pytest.mark.parametrize("form", ["text", "json"])
async def test_the_fields_of_a_line_are_in_their_order_and_none_is_empty(harness, lines, form):
    from gateway.cli.logs import JsonLines, TextLines

    async with harness(PLUGINS) as gateway:
        await gateway.get("/api/packages")

    [line] = lines()
    written = (TextLines() if form == "text" else JsonLines()).format(line)
    places = [
        written.find(f" {name}=" if form == "text" else f'"{name}":')
        for name in ("method", "route", "status", "duration_ms", "request_id")
    ]
    assert -1 not in places
    assert places == sorted(places)
    assert "key_id" not in written


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/api/packages/pkg_RX8872341", "/api/packages/{package_id}", 401),
        ("/Maria/Rodriguez", "unmatched", 404),
        ("/docs", "/docs", 200),
    ],
)
async def test_the_log_line_has_the_route_template_instead_of_the_path(
    harness, lines, path, route, status
):
    async with harness(PLUGINS) as gateway:
        await gateway.get(path)

    [line] = lines()
    assert (line.route, line.status, line.key_id) == (route, status, None)


async def test_good_answers_to_monitors_are_logged_at_debug_level(harness, lines):
    async with harness(PLUGINS) as gateway:
        for path in ("/health/live", "/metrics"):
            await gateway.get(path)

    assert [(line.route, line.levelno) for line in lines()] == [
        ("/health/live", logging.DEBUG),
        ("/metrics", logging.DEBUG),
    ]


async def test_a_failing_health_check_is_logged_at_info_level(harness, lines):
    async with harness("[plugins.missing]\n") as gateway:
        await gateway.get("/health/ready")

    [line] = lines()
    assert (line.levelno, line.status) == (logging.INFO, 503)


async def test_an_unexpected_error_has_its_log_line_too(harness, lines):
    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()

        async def broken(_submission):
            raise RuntimeError("Maria Rodriguez")

        gateway.gateway.intake.accept = broken
        await gateway.post(ORDERS, key, GOOD)

    [line] = lines()
    assert line.status == 500


async def test_the_cause_of_a_database_outage_is_logged_without_its_message(harness, caplog):
    async def full(_submission):
        cause = sqlite3.OperationalError("Maria Rodriguez")
        cause.sqlite_errorname = "SQLITE_FULL"
        error = OperationalError("INSERT Maria", {}, cause)
        raise StorageError("The database can't be reached right now; try again.") from error

    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        gateway.gateway.intake.accept = full
        answer = await gateway.post(ORDERS, key, GOOD)

    [line] = [each for each in caplog.records if each.getMessage().startswith("the database")]
    assert answer.status_code == 503
    assert (line.getMessage(), line.levelno) == ("the database is unavailable", logging.WARNING)
    assert line.cause == "SQLITE_FULL"
    assert "Maria" not in caplog.text


async def test_a_database_error_that_is_an_outage_is_answered_as_one(harness, caplog):
    async def cut_off(_submission):
        raise DBAPIError("SELECT Maria", {}, asyncpg.AdminShutdownError("Maria Rodriguez"))

    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        gateway.gateway.intake.accept = cut_off
        answer = await gateway.post(ORDERS, key, GOOD)

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_error")
    assert "AdminShutdownError" in [getattr(each, "cause", "") for each in caplog.records]
    assert "Maria" not in caplog.text


async def test_a_server_that_refuses_connections_is_an_outage_and_a_plugins_own_is_not(harness):
    async def nowhere(_submission):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))  # it doesn't listen
            port = held.getsockname()[1]
            await asyncpg.connect(host="127.0.0.1", port=port, user="x", database="x")

    async def own(_submission):
        raise ConnectionRefusedError

    async with harness(PLUGINS) as gateway:
        key = await gateway.issue_key()
        gateway.gateway.intake.accept = nowhere
        down = await gateway.post(ORDERS, key, GOOD)
        gateway.gateway.intake.accept = own
        fault = await gateway.post(ORDERS, key, GOOD)

    assert (down.status_code, down.json()["code"]) == (503, "storage_error")
    assert fault.status_code == 500


async def test_an_outage_that_the_gateway_found_itself_is_logged_with_its_sentence(harness, caplog):
    """A database file that was replaced: the class of the error helps no operator."""

    async def replaced(_submission):
        raise StorageError("The database file gateway.db was replaced: stop the gateway.")

    async with harness(PLUGINS) as gateway:
        gateway.gateway.intake.accept = replaced
        await gateway.post(ORDERS, await gateway.issue_key(), GOOD)

    assert (
        "the database is unavailable: The database file gateway.db was replaced: stop the gateway."
        in caplog.messages
    )


async def nothing(_message=None):
    return {}


async def test_a_request_that_was_given_up_counts_as_499(harness, lines):
    async def gives_up(_scope, receive, _send):
        await receive()
        raise ConnectionResetError

    async def gone():
        return {"type": "http.disconnect"}

    made = harness("")
    log = AccessLog(gives_up, made.gateway.metrics, made.gateway.clock)
    await log({"type": "http", "method": "GET"}, gone, nothing)

    assert [line.status for line in lines()] == [499]


async def test_other_scopes_than_http_are_passed_on(harness, lines):
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    made = harness("")
    await AccessLog(app, made.gateway.metrics, made.gateway.clock)(
        {"type": "lifespan"}, nothing, nothing
    )

    assert seen == ["lifespan"]
    assert lines() == []
