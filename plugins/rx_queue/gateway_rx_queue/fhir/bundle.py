"""References between resources, by the rules of R4 (https://hl7.org/fhir/R4/bundle.html#references).

``#id`` is contained in the same resource. An absolute reference is the ``fullUrl`` of an entry. A
relative one is resolved against the ``fullUrl`` of the entry that it is in; only where that has
none, the entry with this type and id is meant, if there is exactly one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from gateway.plugin import InvalidInput
from gateway_rx_queue.fhir.validation import Resource, refused

_BASE: Final = re.compile(
    r"(https?://.{1,300}?)/[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}(?:/_history/.*)?"
)
_TYPED: Final = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}")
_NEW_ORDERS: Final = frozenset(
    {"prescription-order", "rx-new", "rx-new-request", "new-rx", "newrx", "new-prescription"}
)
_METHODS: Final = frozenset({"POST", "PUT"})
_PRESCRIPTION_DOCUMENT: Final = frozenset({"57833-6", "29305-8"})


class Entry(NamedTuple):
    """A resource, the ``fullUrl`` of its entry, and the resource that contains it."""

    resource: Resource
    full_url: str | None = None
    root: Resource | None = None

    @property
    def kind(self) -> str:
        """The resource's type."""
        return str(self.resource.get("resourceType", ""))

    @property
    def is_contained(self) -> bool:
        """Whether its id means something only inside another resource."""
        return self.root is not None


class Target(NamedTuple):
    """The target of a reference: an entry, or only its text. ``ambiguous``: several entries."""

    reference: str | None = None
    entry: Entry | None = None
    ambiguous: bool = False


class Bundle:
    """The resources of a body, and their references."""

    def __init__(self, sent: Resource) -> None:
        self.entries: list[Entry] = []
        self._by_url: dict[str, list[Entry]] = {}
        self._by_id: dict[str, list[Entry]] = {}
        if sent.get("resourceType") != "Bundle":
            self.entries.append(Entry(sent))
            return
        _check_type(sent)
        for item in sent.get("entry") or []:
            resource = item.get("resource")
            if not isinstance(resource, Mapping):
                continue
            if "resourceType" not in resource:
                raise InvalidInput("A resource in the Bundle has no resourceType.")
            self._add(Entry(resource, item.get("fullUrl")), item)
        _check_message(self.entries)

    def _add(self, entry: Entry, item: Mapping[str, Any]) -> None:
        method = (item.get("request") or {}).get("method")
        if method is not None and method not in _METHODS and entry.kind == "MedicationRequest":
            raise refused(f"{method} is not POST or PUT: it orders nothing", "entry.request.method")
        if (item.get("search") or {}).get("mode") == "outcome":
            return
        self.entries.append(entry)
        if entry.full_url:
            self._by_url.setdefault(entry.full_url, []).append(entry)
        if "id" in entry.resource:
            self._by_id.setdefault(f"{entry.kind}/{entry.resource['id']}", []).append(entry)

    def of_kind(self, kind: str) -> Iterator[Entry]:
        """Yield the entries of a type."""
        return (each for each in self.entries if each.kind == kind)

    def target(self, source: Entry, name: str) -> Target:
        """Return what the element ``name`` of a resource refers to."""
        reference = (source.resource.get(name) or {}).get("reference")
        if not isinstance(reference, str):
            return Target()
        if reference.startswith("#"):
            return self._contained(source, reference)
        url = self.absolute(source, reference)
        found = self._by_url.get(url, [])
        if not found and url == reference and _TYPED.fullmatch(reference):
            found = self._by_id.get(reference, [])
        if len(found) > 1 and any(each.resource != found[0].resource for each in found):
            return Target(url, None, ambiguous=True)
        return Target(url, found[0] if found else None)

    def absolute(self, source: Entry, reference: str) -> str:
        """Return a reference made absolute by the entry that it is in."""
        if not _TYPED.fullmatch(reference):
            return reference
        base = _BASE.fullmatch(source.full_url or "")
        return f"{base[1]}/{reference}" if base else reference

    @staticmethod
    def _contained(source: Entry, reference: str) -> Target:
        root = source.root or source.resource
        for each in root.get("contained") or []:
            if each.get("id") == reference[1:]:
                return Target(reference, Entry(each, source.full_url, root))
        return Target(reference)


def _check_type(bundle: Resource) -> None:
    kind = bundle.get("type")
    if kind in {"history", "transaction-response", "batch-response", "subscription-notification"}:
        raise refused(f"a Bundle of type {kind} orders nothing", "type")
    if kind != "document":
        return
    first = (bundle.get("entry") or [{}])[0].get("resource") or {}
    codes = {each.get("code") for each in (first.get("type") or {}).get("coding") or []}
    if not codes & _PRESCRIPTION_DOCUMENT:
        raise refused(
            "the document is no prescription (LOINC 57833-6): a summary orders nothing",
            "entry.resource.type",
        )


def _check_message(entries: list[Entry]) -> None:
    """Refuse messages that aren't new orders: cancellations, changes, renewals, status."""
    for entry in entries:
        if entry.kind != "MessageHeader":
            continue
        event = entry.resource.get("eventCoding") or {}
        code = event.get("code") or entry.resource.get("eventUri") or ""
        name = str(code).rpartition("/")[2].rpartition("#")[2].lower()
        if name not in _NEW_ORDERS:
            raise refused(
                "the message's event is not known as a new order", "entry.resource.eventCoding"
            )
