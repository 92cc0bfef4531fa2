"""JSON in and out: how it is written, and that a refusal repeats nothing of what was sent."""

import enum
import traceback
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from gateway.errors import InvalidInput, Problem
from gateway.model.wire import decode, encode, timestamp


class Kind(enum.Enum):
    CARD = "card"


class Level(enum.IntEnum):
    ONE = 1


class Cat(msgspec.Struct, tag_field="kind", tag="cat"):
    name: Literal["Tom"] = "Tom"


class Dog(msgspec.Struct, tag_field="kind", tag="dog"):
    name: Literal["Rex"] = "Rex"


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    word: Literal["a", "b"] = "a"
    number: Literal[1, 2] = 1
    kind: Kind = Kind.CARD
    level: Level = Level.ONE
    animal: Cat | Dog | None = None
    short: Annotated[str, Meta(max_length=3)] = ""
    shaped: Annotated[str, Meta(pattern="^[a-c]*$")] = ""
    small: Annotated[int, Meta(ge=0, le=9)] = 0
    amount: Decimal = Decimal(0)
    day: date = date(2026, 1, 1)
    moment: datetime | None = None
    raw: bytes = b""
    pairs: dict[str, int] = {}
    numbered: dict[int, Literal["a"]] = {}
    named: dict[Literal["a"], int] = {}
    nested: list[dict[str, Literal["a"]]] = []


def refusal(body, into=Strict):
    with pytest.raises(InvalidInput) as refused:
        decode(body, into)
    return refused.value


def test_json_is_compact_utf_8():
    value = {"name": "Zoë 💊", "list": [1, None, True]}

    assert encode(value) == '{"name":"Zoë 💊","list":[1,null,true]}'.encode()


def test_a_decimal_is_a_number_with_its_places():
    assert encode({"copay": Decimal("12.50")}) == b'{"copay":12.50}'
    assert encode([Decimal(0), Decimal("0.10"), Decimal(10_000)]) == b"[0,0.10,10000]"


def test_a_moment_in_utc_ends_in_z():
    assert encode(datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)) == b'"2026-04-19T18:42:10Z"'


def test_what_is_no_json_is_refused_by_its_type_and_not_by_its_value():
    with pytest.raises(NotImplementedError, match=r"^complex$"):
        encode({"value": complex(1, 2)})


def test_a_timestamp_is_utc_in_whole_seconds():
    toronto = datetime(2026, 4, 19, 14, 42, 10, 999_999, timezone(timedelta(hours=-4)))

    assert timestamp(toronto) == "2026-04-19T18:42:10Z"
    assert timestamp(None) is None


def test_a_number_with_a_fraction_keeps_its_places_where_the_type_is_open():
    read = decode(b'{"copay":12.50,"count":3,"big":1e2}', Any)

    assert read == {"copay": Decimal("12.50"), "count": 3, "big": Decimal("1E+2")}
    assert str(read["copay"]) == "12.50"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"a":"\xff"}', b"nul", b'"\\ud800"', b"[" * 100_000, b"{} x"]
)
def test_what_is_no_json_is_refused_in_one_sentence(body):
    refused = refusal(body, Any)

    assert refused.message == "The request body is not valid JSON."
    assert refused.details == ()


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b"[]", None, "Expected object, got array"),
        (b'{"word":3}', "word", "Expected str, got int"),
        (b'{"word":"x"}', "word", "Invalid enum value …"),
        (b'{"number":77}', "number", "Invalid enum value …"),
        (b'{"kind":"x"}', "kind", "Invalid enum value …"),
        (b'{"level":77}', "level", "Invalid enum value …"),
        (b'{"animal":{"kind":"x"}}', "animal.kind", "Invalid value …"),
        (b'{"animal":{"kind":"cat","name":"x"}}', "animal.name", "Invalid enum value …"),
        (b'{"animal":{}}', "animal", "Object missing required field kind"),
        (b'{"short":"long"}', "short", "Expected str of length <= 3"),
        (b'{"shaped":"x"}', "shaped", "Expected str matching regex …"),
        (b'{"small":77}', "small", "Expected int <= 9"),
        (b'{"amount":"x"}', "amount", "Invalid decimal string"),
        (b'{"day":"x"}', "day", "Invalid RFC3339 encoded date"),
        (b'{"raw":"x"}', "raw", "Invalid base64 encoded string"),
        (b'{"pairs":{"x":"y"}}', "pairs[...]", "Expected int, got str"),
        (b'{"numbered":{"x":"a"}}', "numbered", "Expected int, got str"),
        (b'{"named":{"x":1}}', "named", "Invalid enum value …"),
        (b'{"nested":[{},{"x":"y"}]}', "nested[1][...]", "Invalid enum value …"),
        (b'{"colour":1}', None, "Object contains unknown field colour"),
        (b'{"Maria Rodriguez":1}', None, "Object contains unknown field …"),
        (b'{"416-555-0123":1}', None, "Object contains unknown field …"),
    ],
)
def test_what_does_not_fit_is_named_by_its_field(body, field, message):
    refused = refusal(body)

    assert refused.message == "The request body doesn't fit."
    assert refused.details == (Problem(message, field=field),)


@pytest.mark.parametrize(
    "value",
    [
        "O'Brien",
        'O\'Brien "Zed"',
        "x` - at `$.O_Brien",
        "x' - at `$.O_Brien",
        "x\n - at `$.O_Brien`",
        "`",
        "\\' Brien",
    ],
)
def test_quotes_in_a_value_do_not_let_it_through(value):
    for body in ({"word": value}, {"animal": {"kind": value}}, {"named": {value: 1}}):
        (problem,) = refusal(msgspec.json.encode(body)).details

        assert problem.field in {"word", "animal.kind", "named"}
        assert problem.message in {"Invalid enum value …", "Invalid value …"}


AROUND = st.text(st.sampled_from("ab '\"`$.-[]\\\n\x00é…"), max_size=8) | st.just(" - at `$.")
SECRETS = st.builds("{}Zq7Brien {}".format, AROUND, AROUND)
LEAVES = SECRETS | st.sampled_from([7_777_777, 7_777_777.5, None])
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SECRETS, inner, max_size=3)
)
FIELDS = st.sampled_from(Strict.__struct_fields__)


SENT = st.dictionaries(FIELDS | SECRETS, ANYTHING, min_size=1, max_size=3) | ANYTHING
SHAPES = st.sampled_from([Strict, list[Kind], dict[str, Level], Literal["a", 1], Cat | Dog])


def answer_to(body, into):
    """Return all that a refusal says, its visible context included; nothing if it was taken."""
    try:
        decode(body, into)
    except InvalidInput as refused:
        return "".join(traceback.format_exception(refused)[-1:]) + repr(refused.details)
    return ""


@given(SENT, SHAPES)
def test_no_value_is_ever_repeated_wherever_it_stands(sent, into):
    said = answer_to(msgspec.json.encode(sent), into)

    assert "Brien" not in said
    assert "777" not in said


def test_the_library_that_does_repeat_values_is_not_shown_as_the_cause():
    refused = refusal(b'{"word":"Brien"}')

    assert "Brien" in str(refused.__context__)
    assert "Brien" not in "".join(traceback.format_exception(refused))


@given(st.binary(max_size=60))
def test_no_bytes_whatever_raise_anything_but_invalid_input(body):
    said = answer_to(body, Strict)

    assert said == "" or "The request body " in said


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2))
def test_money_comes_back_with_the_places_it_was_sent_with(amount):
    read = decode(encode({"amount": amount}), dict[str, Decimal])

    assert str(read["amount"]) == str(amount)
