"""Submit prescriptions and let agents write them, in a process of its own.

Takes a job as JSON on stdin and prints what came of it. Agents are as a pharmacy's are: each
leases some jobs, reports on them in one request, and leases again; twenty of them share this
process, so that it sees when a job or a patient is in two agents' hands at once.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from loops import run

_BATCH: Final = 100
_SUBMITTING: Final = 8
_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """``jobs`` prescriptions, two for each patient; ``what`` is submit or write."""

    port: int
    key: str
    what: str
    jobs: int
    agents: int


@dataclass(slots=True, kw_only=True)
class Done:
    """What came of it."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    jobs: int = 0
    twice_in_flight: int = 0
    written_twice: int = 0
    by_agent: list[int] = field(default_factory=list)


class Client:
    """One connection, one request at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def __aenter__(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._job.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        self._writer.close()

    async def post(self, path: str, body: Any) -> Any:
        """Post JSON, and return the answer's."""
        content = json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {self._job.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self._writer.write(head.encode() + content)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = int(answer.lower().partition("content-length:")[2].partition("\r\n")[0])
        said = await self._reader.readexactly(length)
        assert answer[9] == "2", f"{path}: {answer[:20]} {said[:300]!r}"
        return json.loads(said)


class Work:
    """What all agents share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.done = Done()
        self.last_report = 0.0
        self._flying: set[str] = set()
        self._patients: set[str] = set()
        self._written: Counter[str] = Counter()

    async def submit(self) -> None:
        """Hand everything in, a hundred at a time."""
        starts = iter(range(0, self.job.jobs, _BATCH))

        async def one() -> None:
            async with Client(self.job) as client:
                for start in starts:
                    batch = [_prescription(number) for number in range(start, start + _BATCH)]
                    taken = await client.post("/api/rx", {"prescriptions": batch})
                    self.done.jobs += taken["created"]

        await asyncio.gather(*(one() for _ in range(_SUBMITTING)))

    async def write(self) -> None:
        """Let the agents work until everything is written."""
        found = await asyncio.gather(*(self._agent() for _ in range(self.job.agents)))
        self.done.by_agent = sorted(found)
        self.done.jobs = len(self._written)
        self.done.written_twice = sum(times > 1 for times in self._written.values())

    async def _agent(self) -> int:
        written = 0
        async with Client(self.job) as client:
            while len(self._written) < self.job.jobs:
                asked = {"max": _AT_ONCE, "wait_seconds": 1}
                leased = (await client.post("/api/rx/lease", asked))["jobs"]
                for each in leased:
                    self._take(each)
                for each in leased:
                    self._give_back(each)
                if leased:
                    results = [_result(each) for each in leased]
                    answer = await client.post("/api/rx/results", {"results": results})
                    self.last_report = time.monotonic()
                    refused = [each for each in answer["results"] if each["status"] == "refused"]
                    assert not refused, f"a report was refused: {refused[0]}"
                written += len(leased)
        return written

    def _take(self, leased: Any) -> None:
        patient = leased["prescription"]["patient"]["external_patient_id"]
        if leased["queueId"] in self._flying or patient in self._patients:
            self.done.twice_in_flight += 1
        self._flying.add(leased["queueId"])
        self._patients.add(patient)

    def _give_back(self, leased: Any) -> None:
        """Just before the report: once that has arrived, another agent may have the next one."""
        self._flying.discard(leased["queueId"])
        self._patients.discard(leased["prescription"]["patient"]["external_patient_id"])
        self._written[leased["queueId"]] += 1


def _result(leased: Any) -> dict[str, Any]:
    token = leased["lease_token"]
    return {"queueId": leased["queueId"], "lease_token": token, "outcome": "completed"}


def _prescription(number: int) -> dict[str, Any]:
    return {
        "external_id": f"FAX-{number:08}",
        "source": "fax",
        "patient": {"external_patient_id": f"P-{number // 2:08}", "last_name": "Silva"},
        "prescriber": {"name": "Dr. Lee", "licence_type": "CPSO", "licence_number": "54321"},
        "medication": {
            "din": f"{10_000_000 + number:08}",
            "drug_text": "atorvastatin 20 mg tab",
            "quantity": 30,
            "quantity_unit": "tab",
            "days_supply": 30,
            "sig": "1 tab daily",
            "refills": 3,
            "written_date": time.strftime("%Y-%m-%d"),
        },
    }


async def _work(job: Job) -> Done:
    work = Work(job)
    cpu, began = time.process_time(), time.monotonic()
    await (work.submit() if job.what == "submit" else work.write())
    # Not the moment in which agents wait for work that doesn't come any more.
    work.done.seconds = (work.last_report or time.monotonic()) - began
    work.done.cpu_seconds = time.process_time() - cpu
    return work.done


if __name__ == "__main__":
    print(json.dumps(asdict(run(_work(Job(**json.loads(sys.stdin.readline())))))))
