"""The hot statements on one page, beside the schema (:mod:`gateway.storage.schema`).

They run for each order (look up its key, store it, claim and settle its deliveries) or for each
page (its session). Everything else is SQLAlchemy Core, in the stores. A test prepares each
statement on both databases and checks that its plan uses an index, so that these texts and the
schema agree.
"""

from typing import Final

from gateway.storage.schema import api_keys, destinations, sessions
from gateway.storage.transaction import Statement, column_list

# https://www.sqlite.org/json1.html#jeach
_LISTED_IDS: Final = "(SELECT each.value FROM json_each(:id) AS each)"

# -- key look-up ------------------------------------------------------------------------------

KEY_BY_DIGEST: Final = Statement(
    f"SELECT {column_list(api_keys)} FROM api_keys WHERE digest = :digest",  # noqa: S608 - names of our own
    f"SELECT {column_list(api_keys)} FROM api_keys WHERE digest = ANY(:digest)",  # noqa: S608 - as above
)

# Of some people, the accounts that they are members of and not disabled in.
MEMBERS: Final = Statement(
    "SELECT memberships.account_id, memberships.person_id FROM memberships "
    "JOIN people ON people.id = memberships.person_id "
    "WHERE memberships.person_id = :person AND people.disabled_at_ms IS NULL",
    "SELECT memberships.account_id, memberships.person_id FROM memberships "
    "JOIN people ON people.id = memberships.person_id "
    "WHERE memberships.person_id = ANY(:person) AND people.disabled_at_ms IS NULL",
)

# -- the session of a page --------------------------------------------------------------------

# With its person as they are now; role and sites are null where they left the account.
SESSION_BY_DIGEST: Final = Statement(
    f"SELECT {column_list(sessions)}, people.name, people.language, "  # noqa: S608 - as above
    "memberships.role, memberships.sites FROM sessions "
    "JOIN people ON people.id = sessions.person_id "
    "LEFT JOIN memberships ON memberships.person_id = sessions.person_id "
    "AND memberships.account_id = sessions.account_id "
    "WHERE sessions.digest = :digest AND sessions.expires_at_ms > :now_ms "
    "AND people.disabled_at_ms IS NULL"
)

# The records that are open to a person in an emergency.
OPEN_RECORDS: Final = Statement(
    "SELECT subject, expires_at_ms FROM break_glass WHERE person_id = :person_id "
    "AND account_id = :account_id AND expires_at_ms > :now_ms ORDER BY expires_at_ms"
)

# What a person typed into a page before a lock, or searches for; sealed.
DRAFT: Final = Statement(
    "SELECT id, data FROM drafts "
    "WHERE person_id = :person_id AND path = :path AND expires_at_ms > :now_ms"
)

# -- intake -----------------------------------------------------------------------------------

_KNOWN: Final = "SELECT order_index, account_id, mode, source, id, site FROM packages"

_KNOWN_AMONG: Final = f"{_KNOWN} WHERE order_index = ANY(:order_index)"

ORDER_BY_INDEX: Final = Statement(
    f"{_KNOWN} WHERE order_index = :order_index",
    _KNOWN_AMONG,
    among=f"{_KNOWN} WHERE order_index IN ({{}})",
)

# With their settings, because some deliveries are sent at once; and with disabled ones, because an
# event may be meant for one of them alone.
_SUBSCRIBED: Final = f"SELECT {column_list(destinations)} FROM destinations"  # noqa: S608 - as above
_NOT_REMOVED: Final = "removed_at_ms IS NULL ORDER BY id"

_SUBSCRIBED_AMONG: Final = f"{_SUBSCRIBED} WHERE account_id = ANY(:account_id) AND {_NOT_REMOVED}"

SUBSCRIBED: Final = Statement(
    f"{_SUBSCRIBED} WHERE account_id = :account_id AND {_NOT_REMOVED}", _SUBSCRIBED_AMONG
)

# Both in one round trip, for the few orders of a transaction under a steady load.
KNOWN_AND_SUBSCRIBED: Final = Statement(
    "",  # on SQLite a statement costs no round trip
    f"SELECT ARRAY(SELECT known FROM ({_KNOWN_AMONG}) AS known), "  # noqa: S608 - as above
    f"ARRAY(SELECT seen FROM ({_SUBSCRIBED_AMONG}) AS seen)",
)

# Locks the row of an account and a limit, which may not exist yet, and reads it. Accounts are
# locked in one order, so that no two transactions deadlock.
USAGE_LOCKED: Final = Statement(
    "INSERT INTO plan_usage (account_id, limit_name, period, used) "
    "VALUES (:account_id, :limit_name, :period, 0) "
    "ON CONFLICT (account_id, limit_name, period) DO UPDATE SET used = plan_usage.used "
    "RETURNING account_id, used",
    "INSERT INTO plan_usage (account_id, limit_name, period, used) "
    "SELECT each, :limit_name, :period, 0 FROM unnest(:account_id ::text[]) AS each ORDER BY each "
    "ON CONFLICT (account_id, limit_name, period) DO UPDATE SET used = plan_usage.used "
    "RETURNING account_id, used",
    locks=True,
)

USAGE_STORED: Final = Statement(
    "UPDATE plan_usage SET used = :used "
    "WHERE account_id = :account_id AND limit_name = :limit_name AND period = :period",
    locks=True,
)

# -- claim ------------------------------------------------------------------------------------

# Destinations that take deliveries now. A half-open breaker lets one through: the probe.
_OPEN: Final = (
    "state = 'active' AND removed_at_ms IS NULL "
    "AND (held_until_ms IS NULL OR held_until_ms <= :now_ms)"
)

OPEN_DESTINATION: Final = Statement(
    f"{_SUBSCRIBED} WHERE id = :id AND {_OPEN}",
    f"{_SUBSCRIBED} WHERE id = ANY(:id) AND {_OPEN}",
)

# The longest due first. An in-order delivery waits for earlier ones of its subject: earlier by
# sequence, because ids of one millisecond, or after a clock was set back, have no order. The
# conditions of "earlier" are exactly those of ix_deliveries_in_order, so that SQLite uses that
# index. A CTE, so that PostgreSQL evaluates it, and locks its rows, exactly once.
_DUE: Final = """
SELECT deliveries.id, deliveries.account_id
  FROM deliveries
 WHERE deliveries.destination_id = {destination}
   AND deliveries.state = 'pending'
   AND deliveries.due_at_ms <= :now_ms
   AND (NOT deliveries.in_order OR NOT EXISTS (
         SELECT 1
           FROM deliveries AS earlier, events AS happened_before
          WHERE earlier.destination_id = {destination}
            AND earlier.subject = deliveries.subject
            AND earlier.state = 'pending' AND earlier.in_order
            AND happened_before.id = earlier.event_id
            AND happened_before.sequence
                < (SELECT own.sequence FROM events AS own WHERE own.id = deliveries.event_id)))
 ORDER BY deliveries.due_at_ms, deliveries.id
 LIMIT {most}
"""
_LEASED: Final = """
UPDATE deliveries
   SET due_at_ms = :until_ms, lease = :lease,
       first_attempt_at_ms = coalesce(deliveries.first_attempt_at_ms, :now_ms)
"""
CLAIMED_COLUMNS: Final = (
    "id",
    "account_id",
    "event_id",
    "event_type",
    "attempts",
    "retry_index",
    "created_at_ms",
    "first_attempt_at_ms",
)
_CLAIMED: Final = ", ".join(f"deliveries.{column}" for column in CLAIMED_COLUMNS)
_DUE_FOR_ONE: Final = _DUE.format(destination=":destination_id", most=":most")
_TAKEN: Final = f"""
{_LEASED}
 WHERE deliveries.account_id
       = (SELECT destinations.account_id FROM destinations WHERE destinations.id = :destination_id)
   AND deliveries.id IN (SELECT due.id FROM due)
RETURNING {_CLAIMED}
"""  # noqa: S608 - as above

CLAIM: Final = Statement(
    f"WITH due AS ({_DUE_FOR_ONE}) {_TAKEN}",
    f"WITH due AS ({_DUE_FOR_ONE} FOR UPDATE SKIP LOCKED) {_TAKEN}",
    locks=True,
)

EVENT_COLUMNS: Final = (
    "id",
    "type",
    "account_id",
    "mode",
    "site",
    "subject",
    "data",
    "occurred_at_ms",
    "recorded_at_ms",
    "actor",
    "status_after",
    "late",
    "purged",
    "trace",
    "not_sent",
)
_EVENT: Final = f"SELECT {', '.join(EVENT_COLUMNS)} FROM events"  # noqa: S608 - as above

EVENT_BY_ID: Final = Statement(
    f"{_EVENT} WHERE id = :id",
    f"{_EVENT} WHERE id = ANY(:id)",
    listed=f"{_EVENT} WHERE id IN {_LISTED_IDS}",
)

# For all lanes that ask: the destinations that take deliveries now, what is due for those without
# a probe, and its events, in one round trip. A row for each delivery, and one for a destination
# without any.
CLAIM_FOR_SEVERAL: Final = Statement(
    "",  # on SQLite a statement costs no round trip
    f"""
WITH open AS MATERIALIZED (
  SELECT destinations.*, asked.most
    FROM unnest(:destination_ids::text[], :most::int8[]) AS asked (destination_id, most)
    JOIN destinations ON destinations.id = asked.destination_id
   WHERE {_OPEN}
), due AS MATERIALIZED (
  SELECT found.id, found.account_id
    FROM open CROSS JOIN LATERAL (
      {_DUE.format(destination="open.id", most="open.most")} FOR UPDATE SKIP LOCKED
    ) AS found
   WHERE open.opened_at_ms IS NULL AND open.sink = ANY(:sinks)
), taken AS (
  {_LEASED} FROM due
   WHERE deliveries.account_id = due.account_id AND deliveries.id = due.id
  RETURNING deliveries.destination_id, {_CLAIMED}
)
SELECT {", ".join(f"open.{column}" for column in destinations.c.keys())},
       {", ".join(f"taken.{column}" for column in CLAIMED_COLUMNS)},
       {", ".join(f"happened.{column}" for column in EVENT_COLUMNS)}
  FROM open
  LEFT JOIN taken ON taken.destination_id = open.id
  LEFT JOIN events AS happened ON happened.id = taken.event_id
""",  # noqa: S608, SIM118 - as above
)

# -- settle -----------------------------------------------------------------------------------

# A success counts even where the lease was lost and another process exhausted the delivery.
_DELIVERED: Final = (
    "UPDATE deliveries SET state = 'delivered', attempts = attempts + 1, lease = NULL, "
    "finished_at_ms = :now_ms"
)

DELIVERED: Final = Statement(
    f"{_DELIVERED} WHERE account_id = :account_id AND id = :id AND state <> 'delivered'",
    f"{_DELIVERED} WHERE account_id = :account_id AND id = ANY(:id) AND state <> 'delivered'",
    listed=f"{_DELIVERED} WHERE account_id = :account_id AND id IN {_LISTED_IDS} "
    "AND state <> 'delivered'",
    locks=True,
)

_WORKED: Final = "UPDATE destinations SET last_success_at_ms = :now_ms"
_HEALTH: Final = (
    "id, failing_since_ms, failures, openings, opened_at_ms, held_until_ms, warned_at_ms"
)

WORKED: Final = Statement(
    f"{_WORKED} WHERE id = :id RETURNING {_HEALTH}",
    f"{_WORKED} WHERE id = ANY(:id) RETURNING {_HEALTH}",
    locks=True,
)

# Successful first attempts of healthy destinations: a whole flush in one statement, and so in one
# round trip. "healthy" is false when another destination is among them; then nothing is written,
# and the flush uses separate statements.
DELIVERED_TO_HEALTHY: Final = Statement(
    "",  # on SQLite a statement costs no round trip
    """
WITH healthy AS (
  SELECT count(*) = cardinality(:destination_ids::text[]) AS yes
    FROM destinations
   WHERE id = ANY(:destination_ids::text[])
     AND failing_since_ms IS NULL AND failures = 0 AND openings = 0 AND opened_at_ms IS NULL
     AND held_until_ms IS NULL AND warned_at_ms IS NULL
), delivered AS (
  UPDATE deliveries
     SET state = 'delivered', attempts = attempts + 1, lease = NULL, finished_at_ms = :now_ms
    FROM unnest(:account_ids::text[], :ids::text[]) AS settled (account_id, id), healthy
   WHERE deliveries.account_id = settled.account_id AND deliveries.id = settled.id
     AND deliveries.state <> 'delivered' AND healthy.yes
), logged AS (
  INSERT INTO attempts (account_id, destination_id, delivery_id, event_id, event_type, number,
                        started_at_ms, duration_ms, delivered, status, error, excerpt)
  SELECT each.*
    FROM unnest(:account_ids::text[], :destinations::text[], :ids::text[], :event_ids::text[],
                :event_types::text[], :numbers::int4[], :started_at_ms::int8[],
                :durations_ms::int4[], :delivered::bool[], :statuses::int4[], :errors::text[],
                :excerpts::bytea[]) AS each, healthy
   WHERE healthy.yes
), changed AS (
  INSERT INTO changes (topic, account_id, mode, site, count, ids, at_ms)
  SELECT each.*, :now_ms
    FROM unnest(:topics::text[], :change_accounts::text[], :modes::text[], :sites::text[],
                :counts::int4[], :change_ids::text[]) AS each, healthy
   WHERE healthy.yes
), worked AS (
  UPDATE destinations SET last_success_at_ms = :now_ms
    FROM healthy WHERE id = ANY(:destination_ids::text[]) AND healthy.yes
)
SELECT yes FROM healthy
""",
)

# -- changes ----------------------------------------------------------------------------------

_CHANGE: Final = "SELECT sequence, topic, account_id, mode, site, count, ids, at_ms FROM changes"
_AFTER: Final = f"{_CHANGE} WHERE sequence > :after ORDER BY sequence LIMIT :most"

LATEST_CHANGE: Final = Statement("SELECT max(sequence) FROM changes")

# With the gaps that commits have closed since. The limit applies to each part.
CHANGES_AFTER: Final = Statement(
    _AFTER, f"{_CHANGE} WHERE sequence = ANY(:gaps) UNION ALL ({_AFTER})"
)

# -- what is asked every second -----------------------------------------------------------------

# Ordered by an index: with old statistics PostgreSQL would read the whole table otherwise.
PENDING: Final = Statement(
    "SELECT due_at_ms FROM deliveries WHERE state = 'pending' "
    "ORDER BY destination_id, due_at_ms LIMIT 1"
)

WITH_WORK: Final = Statement(
    "SELECT id FROM destinations "
    "WHERE state = 'active' AND (held_until_ms IS NULL OR held_until_ms <= :now_ms) "
    "AND EXISTS (SELECT 1 FROM deliveries WHERE deliveries.destination_id = destinations.id "
    "AND deliveries.state = 'pending' AND deliveries.due_at_ms <= :now_ms)"
)

RUNNING_RECOVERIES: Final = Statement(
    "SELECT id FROM recoveries WHERE state = 'running' ORDER BY id LIMIT 1"
)

# -- audit ------------------------------------------------------------------------------------

AUDIT_HEAD: Final = Statement(
    "SELECT sequence, digest FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)"
)
