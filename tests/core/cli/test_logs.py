"""The form of the log, what it says of an entry, and what it leaves out."""

import asyncio
import json
import logging
import sys
from contextvars import copy_context

import pytest

from gateway.cli.logs import FIELDS, JsonLines, TextLines, log_to_stderr
from gateway.observability import log_context
from gateway.settings import LoggingTable

SECRET = "Maria Rodriguez"


@pytest.fixture
def stderr(capsys):
    """Log to stderr as a table says, and put everything back afterwards."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    levels = {name: log.level for name, log in root.manager.loggerDict.items() if _is_real(log)}

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    yield lines
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name, log in root.manager.loggerDict.items():
        if _is_real(log):
            log.setLevel(levels.get(name, logging.NOTSET))


def _is_real(log) -> bool:
    return isinstance(log, logging.Logger)


def record(message="answered", *arguments, level=logging.INFO, name="gateway.http", **extra):
    log = logging.getLogger(name)
    error = extra.pop("exc_info", None)
    made = log.makeRecord(name, level, __file__, 1, message, arguments, error, extra=extra)
    made.created = 1_776_624_130.1236
    return made


def fail() -> None:
    raise KeyError(SECRET)


def raised() -> tuple:
    try:
        try:
            fail()
        except KeyError as error:
            raise ValueError(SECRET) from error
    except ValueError:
        return sys.exc_info()


# The two forms


def test_an_entry_as_text_is_one_line_with_what_it_is_about_behind():
    line = TextLines().format(record("took %d", 3, status=200, key_id="key_1", method="GET"))

    assert line == (
        "2026-04-19T18:42:10.123Z INFO    gateway.http: took 3 method=GET status=200 key_id=key_1"
    )


def test_the_cause_of_a_database_outage_is_in_the_line():
    line = TextLines().format(record("the database is unavailable", cause="SQLITE_FULL"))

    assert line.endswith("gateway.http: the database is unavailable cause=SQLITE_FULL")


def test_an_entry_as_json_is_one_object():
    entry = json.loads(JsonLines().format(record("took %d", 3, level=40, status=503, attempt=2)))

    assert entry == {
        "time": "2026-04-19T18:42:10.123Z",
        "level": "error",
        "logger": "gateway.http",
        "message": "took 3",
        "attempt": 2,
        "status": 503,
    }


@pytest.mark.parametrize("form", [TextLines(), JsonLines()], ids=["text", "json"])
def test_what_an_entry_is_not_about_is_left_out(form):
    line = form.format(record(status=None, delivery_id="dlv_1"))

    assert "dlv_1" in line
    assert not [name for name in FIELDS if name in line and name != "delivery_id"]


@pytest.mark.parametrize("form", [TextLines(), JsonLines()], ids=["text", "json"])
def test_fields_that_are_not_listed_are_left_out(form):
    line = form.format(record(patient_name=SECRET, status=200))

    assert "200" in line
    assert SECRET not in line
    assert "patient" not in line


@pytest.mark.parametrize("form", [TextLines(), JsonLines()], ids=["text", "json"])
def test_the_ids_of_the_moment_stand_beside_every_entry(form):
    def written() -> str:
        log_context.request_id.set("req-1")
        log_context.destination_id.set("dst_1")
        log_context.delivery_id.set("dlv_1")
        return form.format(record(delivery_id="dlv_2"))

    line = copy_context().run(written)

    for part in ("req-1", "dst_1", "dlv_2"):
        assert part in line
    assert "dlv_1" not in line  # what the entry itself says goes first
    assert "req-1" not in form.format(record())


@pytest.mark.parametrize("form", [TextLines(), JsonLines()], ids=["text", "json"])
def test_of_an_exception_its_class_and_place_are_reported_and_never_its_words(form):
    text = form.format(record("broken", exc_info=raised()))

    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert "test_logs.py" in text
    assert "raise ValueError(SECRET)" in text  # the line of code, not what it stood for
    assert SECRET not in text


def test_an_exception_raised_from_none_has_no_cause():
    try:
        try:
            fail()
        except KeyError:
            raise ValueError(SECRET) from None
    except ValueError:
        text = TextLines().format(record(exc_info=sys.exc_info()))

    assert "ValueError" in text
    assert "builtins.KeyError" not in text


def test_an_exception_is_part_of_its_json_object():
    text = JsonLines().format(record("broken", exc_info=raised()))

    assert "\n" not in text
    assert json.loads(text)["exception"].splitlines()[-1] == "builtins.KeyError"


def test_no_exception_where_there_is_none():
    assert "exception" not in json.loads(JsonLines().format(record(exc_info=(None, None, None))))


# Where it goes


def say_something_everywhere() -> None:
    for name in ("gateway.delivery.dispatcher", "gateway_webhooks.sender", "aiosqlite", "httpx"):
        for level in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger(name), level)("%s speaks", level)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_gateway_and_its_plugins_are_heard_from_the_level_on(stderr, level):
    log_to_stderr(LoggingTable(level=level))
    say_something_everywhere()

    levels = ("debug", "info", "warning", "error")
    heard = levels[levels.index(level) :]
    of_the_gateway = [line for line in stderr() if " gateway" in line]
    assert of_the_gateway == [
        line
        for name in ("gateway.delivery.dispatcher", "gateway_webhooks.sender")
        for said in heard
        for line in of_the_gateway
        if line.endswith(f" {said.upper():<7} {name}: {said} speaks")
    ]
    assert len(of_the_gateway) == 2 * len(heard)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_libraries_are_never_heard_below_warning(stderr, level):
    log_to_stderr(LoggingTable(level=level))
    say_something_everywhere()

    said = [line.rpartition(": ")[2] for line in stderr() if " aiosqlite:" in line]
    assert said == (["error speaks"] if level == "error" else ["warning speaks", "error speaks"])


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "sqlalchemy.engine", "gatewayish"])
def test_a_library_with_a_level_of_its_own_is_not_heard_below_warning_either(stderr, name):
    log_to_stderr(LoggingTable(level="debug"))
    log = logging.getLogger(name)
    log.setLevel(logging.DEBUG)
    log.info("GET https://example.com/?name=Maria")
    log.warning("the connection was lost")

    [line] = stderr()
    assert line.endswith(f"{name}: the connection was lost")


def test_each_line_is_an_object_when_the_settings_say_so(stderr):
    log_to_stderr(LoggingTable(format="json"))
    logging.getLogger("gateway").info("a line\nand another")

    [line] = stderr()
    assert json.loads(line)["message"] == "a line\nand another"


async def test_what_asyncio_says_of_a_task_that_failed_has_no_words_of_the_exception(stderr):
    log_to_stderr(LoggingTable())

    async def fail():
        raise ValueError(SECRET)

    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    context = {"message": "Task exception was never retrieved", "future": task}
    asyncio.get_running_loop().default_exception_handler({**context, "exception": task.exception()})

    text = "\n".join(stderr())
    assert "asyncio: Task exception was never retrieved" in text
    assert "builtins.ValueError" in text
    assert SECRET not in text
