"""Jobs in the database: read by id, by blind index, or page by page."""

from collections.abc import Collection, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Row, Select, select, update

from gateway.plugin import (
    AsyncConnection,
    Caller,
    Gateway,
    Mode,
    NotAllowed,
    insert_rows,
    update_rows,
    visible_to,
)
from gateway_rx_queue.job import EarlierJob, Job, JobContent, drug_code, patient_identity
from gateway_rx_queue.mapping import HistoryRow
from gateway_rx_queue.model import Medication, Prescription
from gateway_rx_queue.schema import State
from gateway_rx_queue.tables import rx_history, rx_jobs

TABLE: Final = "rx_jobs"
_ALL: Final = tuple(rx_jobs.columns.keys())
_GIVEN: Final = {"purged", "sequence", "payload"}
_KEPT: Final = tuple(each.name for each in rx_jobs.columns if each.name not in _GIVEN)
_STORED: Final = attrgetter(*_KEPT)
_JOB_COLUMNS: Final = (*_KEPT, "payload")
# A row's values in the order of a job's fields: by position, which takes a third of the time.
_FIELDS: Final = Job.__struct_fields__
_AS_FIELDS: Final = itemgetter(
    *(_ALL.index("payload" if each == "content" else each) for each in _FIELDS)
)
_CONTENT: Final = _FIELDS.index("content")
_ID: Final = _ALL.index("id")
_CHANGING: Final = (
    "state",
    "state_at_ms",
    "due_at_ms",
    "attempts",
    "round",
    "lease",
    "lease_until_ms",
    "claimed_by",
    "claimed_until_ms",
    "approved_by",
    "approved_at_ms",
    "version",
    "external_index",
    "replaced_by",
    "recalled_at_ms",
    "patient_index",
    "fill_index",
)
_CHANGEABLE: Final = attrgetter(*_CHANGING)
# The maximum of jobs to read of one patient.
_LATEST_JOBS: Final = 60
# Both databases take some 32,000 parameters in a statement; this stays well below.
_PARAMETERS: Final = 5000

ExternalKey = tuple[bytes, str, Mode]
"""The identity of a submission: blind index of its id, account, mode."""


class Scope(NamedTuple):
    """The jobs of an account and mode, or those of one site."""

    account_id: str
    mode: Mode
    site: str | None = None

    @classmethod
    def of(cls, caller: Caller) -> "Scope":
        """Return the scope of a caller; raises ``NotAllowed`` for one of several sites."""
        if caller.sites is not None and caller.site is None:
            raise NotAllowed("Lease jobs with a key of one site, or of all sites.")
        return cls(caller.account_id, caller.mode, caller.site)


class JobFilter(NamedTuple):
    """A filter of jobs; ``before_id`` is the end of the last page."""

    limit: int
    before_id: str | None = None
    status: str | None = None
    site: str | None = None


class StoredJob(NamedTuple):
    """A stored job with the same external id."""

    id: str
    place: int
    site: str | None
    state: State
    content_index: bytes | None


class _EarlierPrescription(msgspec.Struct, frozen=True):
    medication: Medication = Medication()


class _EarlierContent(msgspec.Struct, frozen=True):
    """The part of a job's content that its patient's later prescriptions are compared with."""

    prescription: _EarlierPrescription


_HISTORY: Final = select(
    rx_jobs.c.patient_index,
    rx_jobs.c.payload,
    rx_jobs.c.id,
    rx_jobs.c.submission_id,
    rx_jobs.c.state,
    rx_jobs.c.created_at_ms,
    rx_jobs.c.state_at_ms,
    rx_jobs.c.external_index,
    rx_jobs.c.fill_index,
).where(rx_jobs.c.purged.is_(False))


class JobStore:
    """Reads and writes jobs; their content is encrypted."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway  # not open yet: the sealer is read on use
        self._encoder = msgspec.json.Encoder(decimal_format="number")
        self._decoder = msgspec.json.Decoder(JobContent)
        self._history_decoder = msgspec.json.Decoder(_EarlierContent)

    def external_key(self, account_id: str, mode: Mode, identity: str) -> ExternalKey:
        """Return the key of a submission's identity: ``id:`` with the sender's ``external_id``."""
        index = self._gateway.sealer.blind_index(
            "rx_external_id", account_id, identity.removeprefix("id:")
        )
        return index, account_id, mode

    def content_index(self, account_id: str, prescriptions: Sequence[Prescription]) -> bytes:
        """Return the blind index by which the same content is recognised."""
        parts = [
            (each.patient, each.prescriber, each.medication, each.unmapped)
            for each in prescriptions
        ]
        content = self._encoder.encode(parts).decode()
        return self._gateway.sealer.blind_index("rx_content", account_id, content)

    def indexes(
        self, account_id: str, mode: Mode, site: str | None, prescription: Prescription
    ) -> tuple[bytes | None, bytes | None]:
        """Return the blind indexes of the patient, and of this drug for this patient."""
        identity = patient_identity(site, prescription.patient)
        if identity is None:
            return None, None
        sealer = self._gateway.sealer
        who = f"{mode}|{identity}"
        patient = sealer.blind_index("rx_patient", account_id, who)
        code = drug_code(prescription)
        fill = sealer.blind_index("rx_fill", account_id, f"{code}|{who}") if code else None
        return patient, fill

    async def insert(self, connection: AsyncConnection, jobs: Sequence[Job]) -> None:
        """Write new jobs."""
        rows = [self._row(job) for job in jobs]
        await insert_rows(connection, rx_jobs, _JOB_COLUMNS, rows)

    def _row(self, job: Job) -> tuple[Any, ...]:
        return (*_STORED(job), self.sealed(job.id, job.content))

    def sealed(self, job_id: str, content: JobContent) -> bytes:
        """Return a job's content, encrypted."""
        return self._gateway.sealer.seal(self._encoder.encode(content), table=TABLE, row_id=job_id)

    async def save(self, connection: AsyncConnection, changed: Sequence[tuple[Job, Job]]) -> None:
        """Write the changed columns of jobs, given before and after.

        Each index of a written column costs as much as its change, even where the value is as
        before.
        """
        alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        for was, now in sorted(changed, key=lambda each: each[1].id):
            pairs = zip(_CHANGING, _CHANGEABLE(was), _CHANGEABLE(now), strict=True)
            values = {name: after for name, before, after in pairs if after != before}
            if was.content is not now.content:
                values["payload"] = self.sealed(now.id, now.content)
            if values:
                alike.setdefault(tuple(values), []).append((*values.values(), now.id))
        for columns, rows in alike.items():
            await update_rows(connection, rx_jobs, columns, "id", rows)

    async def replace(
        self, connection: AsyncConnection, replaced: Sequence[tuple[str, str]]
    ) -> None:
        """Free the external ids of replaced jobs, given as pairs of ids."""
        for old, new in sorted(replaced):
            await connection.execute(
                update(rx_jobs)
                .where(rx_jobs.c.id == old)
                .values(external_index=None, replaced_by=new)
            )

    async def add_history(self, connection: AsyncConnection, rows: Sequence[HistoryRow]) -> None:
        """Append history rows."""
        await insert_rows(connection, rx_history, HistoryRow._fields, rows)

    async def history(self, connection: AsyncConnection, job_id: str) -> list[HistoryRow]:
        """Return a job's history, oldest first."""
        columns = [rx_history.c[name] for name in HistoryRow._fields]
        rows = await connection.execute(
            select(*columns).where(rx_history.c.job_id == job_id).order_by(rx_history.c.sequence)
        )
        return [HistoryRow(*row) for row in rows]

    async def known(
        self, connection: AsyncConnection, keys: Collection[ExternalKey]
    ) -> dict[ExternalKey, list[StoredJob]]:
        """Return the stored jobs of ``keys``, in the order of their drugs."""
        found: dict[ExternalKey, list[StoredJob]] = {}
        indexes = sorted({key[0] for key in keys})
        columns = rx_jobs.c
        for start in range(0, len(indexes), _PARAMETERS):
            rows = await connection.execute(
                select(
                    columns.external_index,
                    columns.account_id,
                    columns.mode,
                    columns.id,
                    columns.place,
                    columns.site,
                    columns.state,
                    columns.content_index,
                )
                .where(columns.external_index.in_(indexes[start : start + _PARAMETERS]))
                .order_by(columns.place)
            )
            for row in rows:
                key = (bytes(row[0]), row[1], row[2])
                digest = None if row[7] is None else bytes(row[7])
                found.setdefault(key, []).append(StoredJob(*row[3:7], digest))
        return found

    async def earlier(
        self,
        connection: AsyncConnection,
        patients: Collection[bytes],
        fills: Collection[bytes],
        since_ms: int,
        recent_ms: int,
    ) -> dict[bytes, list[EarlierJob]]:
        """Return each patient's jobs, newest first: ``fills`` since then, and all recent ones."""
        found: dict[bytes, list[EarlierJob]] = {}
        indexes, drugs = sorted(set(patients)), set(fills)
        columns = rx_jobs.c
        for start in range(0, len(indexes), _PARAMETERS):
            rows = await connection.execute(
                _HISTORY.where(
                    columns.patient_index.in_(indexes[start : start + _PARAMETERS]),
                    columns.created_at_ms >= since_ms,
                ).order_by(columns.id.desc())
            )
            for row in rows:
                jobs = found.setdefault(bytes(row.patient_index), [])
                fill = row.fill_index and bytes(row.fill_index)
                is_recent = row.created_at_ms >= recent_ms
                if len(jobs) < _LATEST_JOBS and (is_recent or fill in drugs):
                    external = row.external_index and bytes(row.external_index)
                    jobs.append(
                        EarlierJob(
                            id=row.id,
                            submission_id=row.submission_id,
                            state=row.state,
                            created_at_ms=row.created_at_ms,
                            state_at_ms=row.state_at_ms,
                            external_index=external,
                            fill_index=fill,
                            medication=self._medication(row.id, row.payload),
                        )
                    )
        return found

    def _medication(self, job_id: str, payload: bytes) -> Medication:
        plain = self._gateway.sealer.unseal(bytes(payload), table=TABLE, row_id=job_id)
        return self._history_decoder.decode(plain).prescription.medication

    async def locked(self, connection: AsyncConnection, ids: Collection[str]) -> dict[str, Job]:
        """Return jobs by id, locked until the transaction ends, always in the same order."""
        rows = await connection.execute(
            select(rx_jobs)
            .where(rx_jobs.c.id.in_(sorted(ids)))
            .order_by(rx_jobs.c.id)
            .with_for_update()
        )
        return {row.id: self.job(row) for row in rows}

    async def get(self, connection: AsyncConnection, caller: Caller, job_id: str) -> Job | None:
        """Return the job, or ``None`` when ``caller`` may not see it."""
        found = await connection.execute(_visible(caller).where(rx_jobs.c.id == job_id))
        row = found.first()
        return None if row is None else self.job(row)

    async def linked(self, connection: AsyncConnection, job: Job) -> tuple[str, ...]:
        """Return the ids of the other drugs of the same submission."""
        rows = await connection.execute(
            select(rx_jobs.c.id)
            .where(rx_jobs.c.submission_id == job.submission_id, rx_jobs.c.id != job.id)
            .order_by(rx_jobs.c.place)
        )
        return tuple(row[0] for row in rows)

    async def page(
        self, connection: AsyncConnection, caller: Caller, wanted: JobFilter
    ) -> list[Job]:
        """Return up to ``wanted.limit`` jobs, newest first; excepted ones oldest first."""
        query = _visible(caller).limit(wanted.limit)
        oldest_first = wanted.status == "excepted"
        order = rx_jobs.c.id.asc() if oldest_first else rx_jobs.c.id.desc()
        for column, value in ((rx_jobs.c.state, wanted.status), (rx_jobs.c.site, wanted.site)):
            if value is not None:
                query = query.where(column == value)
        if wanted.before_id is not None:
            beyond = (
                rx_jobs.c.id > wanted.before_id
                if oldest_first
                else (rx_jobs.c.id < wanted.before_id)
            )
            query = query.where(beyond)
        return [self.job(row) for row in await connection.execute(query.order_by(order))]

    def job(self, row: Row[Any]) -> Job:
        """Decrypt a row."""
        values = list(_AS_FIELDS(row))
        plain = self._gateway.sealer.unseal(values[_CONTENT], table=TABLE, row_id=row[_ID])
        values[_CONTENT] = self._decoder.decode(plain)
        return Job(*values)


def _visible(caller: Caller) -> Select[Any]:
    return select(rx_jobs).where(*visible_to(caller, rx_jobs))
