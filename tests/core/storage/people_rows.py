"""A row in each table about people, written by the stores. Nothing here knows pytest."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.model.person import Emergency, Factor, Invitation, Membership, Person, SessionRow
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.stores import sign_in_counts
from gateway.storage.stores.emergencies import EmergencyStore
from gateway.storage.stores.people import PeopleStore
from gateway.storage.stores.saved_views import SavedView, SavedViewStore, ViewOwner
from gateway.storage.stores.sessions import SessionStore
from gateway.storage.stores.sign_in_counts import Count

# A restore leaves these empty: what they held was ended, used or withdrawn since, perhaps.
ENDED_BY_A_RESTORE = frozenset(
    {"sessions", "drafts", "invitations", "owner_codes", "sign_in_counts"}
)


async def write_people(connection: AsyncConnection, sealer: Sealer, now, mark: str = "x") -> None:
    """Write one of each; ``mark`` is in all that has to be sealed."""
    people, sessions = PeopleStore(sealer), SessionStore(sealer)
    later = now + timedelta(hours=1)
    person = Person(
        id="per_1", name="Amara", email="a@b.example", login="a@b.example", handle=b"h" * 32,
        created_at=now,
    )  # fmt: skip
    await people.add(connection, person)
    await people.set_membership(connection, Membership("default", "per_1", "owner"), now)
    secret = f"secret {mark}".encode()
    await people.add_factor(
        connection,
        Factor(id="fac_1", person_id="per_1", kind="totp", name="", secret=secret, created_at=now),
    )
    invitation = Invitation(
        id="inv_1", account_id="default", email="s@b.example", role="manager", made_by="cli:0",
        created_at=now, expires_at=later,
    )  # fmt: skip
    await people.add_invitation(connection, invitation, b"i" * 32)
    await people.put_owner_code(connection, b"c" * 16, 10, now, later)
    row = SessionRow(
        id="ses_1", person_id="per_1", account_id="default", method="passkey", is_strong=True,
        agent="Firefox", created_at=now, seen_at=now, proved_at=now, expires_at=later,
    )  # fmt: skip
    await sessions.add(connection, row, b"s" * 32)
    await sessions.keep_draft(connection, "dra_1", "per_1", "/x", f"typed {mark}".encode(), later)
    view = SavedView("viw_1", f"view {mark}", f"q={mark}")
    owner = ViewOwner("default", "per_1", "packages")
    assert await SavedViewStore(sealer).add(connection, owner, view, now)
    await sessions.spend(connection, b"t" * 32, later)
    await sign_in_counts.lock(connection, b"n" * 32, Count(1.0, 0, 1))
    emergency = Emergency(
        id="emg_1", account_id="default", person_id="per_1", subject="pkg_1",
        reason=f"reason {mark}", created_at=now, expires_at=later,
    )  # fmt: skip
    await EmergencyStore(sealer).add(connection, emergency)
