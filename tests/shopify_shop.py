"""A shop on 127.0.0.1 that plays Shopify's Admin API strictly: it checks the token, parses and
validates each query against a schema of the parts that are used, and keeps state.

It throttles, fails, hangs and drops the connection on demand: ``shop.on["CreateEvent"]
= ["hang"]`` says what to do with the next calls of that operation. Nothing here knows pytest.
"""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs

import graphql
from shopify_orders import SECRET
from waiting import PATIENCE_SECONDS

SCHEMA: Final = graphql.build_schema(
    (Path(__file__).parent / "data" / "shopify_2026_10.graphql").read_text("utf-8")
)
API: Final = "/admin/api/2026-10/graphql.json"
GRANT: Final = "/admin/oauth/access_token"
CLIENT_ID: Final = "client-1"
EVERY_SCOPE: Final = (
    "read_orders",
    "read_customers",
    "write_fulfillments",
    "write_merchant_managed_fulfillment_orders",
    "write_orders",
)


class Shop:
    """The shop. ``calls`` are the operations it was asked for; ``tokens`` those it takes."""

    def __init__(self) -> None:
        self.tokens = {"shpat_static"}
        self.granted = 0
        self.calls: list[str] = []
        self.orders: dict[str, dict[str, Any]] = {}
        self.subscriptions: list[dict[str, str]] = []
        self.refunds: dict[str, tuple[Any, dict[str, Any]]] = {}
        self.scopes = list(EVERY_SCOPE)
        self.on: defaultdict[str, list[str]] = defaultdict(list)
        self.available = 1000.0
        self.changed = asyncio.Event()
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    # --- what a test does -------------------------------------------------------------------

    @property
    def url(self) -> str:
        assert self._server is not None
        return "http://{}:{}".format(*self._server.sockets[0].getsockname())

    def add(self, sent: Mapping[str, Any], **more: Any) -> None:
        """Add the order of the webhook ``sent``."""
        gid = sent["admin_graphql_api_id"]
        before = self.orders.get(gid, {})
        self.orders[gid] = {
            "fulfillments": before.get("fulfillments", []),
            "fulfillmentOrders": before.get("fulfillmentOrders", {"nodes": [self._to_fulfil()]}),
            "suggestedRefund": _refundable(sent),
            **node_of(sent),
            **more,
        }

    def _to_fulfil(self, status: str = "OPEN", location: int = 1) -> dict[str, Any]:
        place = {"id": f"gid://shopify/Location/{location}"}
        number = next(self._numbers)
        return {
            "id": f"gid://shopify/FulfillmentOrder/{number}",
            "status": status,
            "assignedLocation": {"location": place},
        }

    def fulfillment_orders(self, *statuses: str, locations: tuple[int, ...] = ()) -> dict[str, Any]:
        """Return the fulfillment orders of an order: one for each status."""
        places = locations or (1,) * len(statuses)
        pairs = zip(statuses, places, strict=True)
        return {"nodes": [self._to_fulfil(status, place) for status, place in pairs]}

    def fulfillments(self, gid: str) -> list[dict[str, Any]]:
        return self.orders[gid]["fulfillments"]

    def statuses(self, gid: str) -> list[str]:
        """Return the statuses of the events of an order's only fulfillment."""
        [fulfillment] = self.fulfillments(gid)
        return [each["status"] for each in fulfillment["events"]["nodes"]]

    def drop_everyone(self) -> None:
        """Close every connection, whatever is being answered on it."""
        for task in self._serving:
            task.cancel()

    async def until(self, condition: Any, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until ``condition(shop)`` holds."""
        async with asyncio.timeout(seconds):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()

    # --- HTTP -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip("\r\n").split("\r\n")
                pairs = (line.partition(":") for line in lines)
                headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, said, more = await self._answer(first, headers, body)
                if status == 0:
                    return
                data = json.dumps(said).encode()
                extra = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                answer = f"HTTP/1.1 {status} Said\r\n{extra}Content-Length: {len(data)}\r\n\r\n"
                writer.write(answer.encode() + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answer(
        self, first: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        method, path, _ = first.split(" ", 2)
        if (method, path) == ("POST", GRANT):
            return self._grant(headers, body)
        if (method, path) != ("POST", API):
            return 404, {"errors": "Not Found"}, {}
        if headers.get("x-shopify-access-token") not in self.tokens:
            return 401, {"errors": "[API] Invalid API key or access token"}, {}
        assert headers["content-type"] == "application/json"
        return await self._asked(json.loads(body))

    async def _asked(self, asked: Mapping[str, Any]) -> tuple[int, Any, dict[str, str]]:
        name = _operation(asked["query"])
        self.calls.append(name)
        fault = self.on[name].pop(0) if self.on[name] else ""
        self.changed.set()
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault.isdigit():
            wait = {"Retry-After": "7"} if fault == "503" else {}
            return int(fault), {"errors": "said so"}, wait
        said = {} if fault == "drop" else self._execute(asked, fault)
        self.changed.set()
        if fault == "do_and_hang":
            await asyncio.sleep(3600)
        return (0, None, {}) if fault in {"drop", "do_and_drop"} else (200, said, {})

    def _grant(self, headers: Mapping[str, str], body: bytes) -> tuple[int, Any, dict[str, str]]:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        wanted = {"grant_type": "client_credentials", "client_id": CLIENT_ID}
        if headers.get("content-type") != "application/x-www-form-urlencoded" or form != {
            **wanted,
            "client_secret": SECRET,
        }:
            return 400, {"error": "application_cannot_be_found"}, {}
        self.granted += 1
        token = f"shpat_day_{self.granted}"
        self.tokens.add(token)
        return 200, {"access_token": token, "scope": "read_orders", "expires_in": 86399}, {}

    # --- GraphQL ----------------------------------------------------------------------------

    def _execute(self, asked: Mapping[str, Any], fault: str) -> dict[str, Any]:
        cost = 10.0
        throttle = {
            "maximumAvailable": 1000.0,
            "currentlyAvailable": self.available,
            "restoreRate": 50.0,
        }
        extensions = {"cost": {"requestedQueryCost": cost, "throttleStatus": throttle}}
        if fault == "throttle" or self.available < cost:
            error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
            return {"errors": [error], "extensions": extensions}
        if fault == "errors":
            return {"errors": [{"message": "Internal error"}]}
        if fault == "denied":
            error = {"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}}
            return {"errors": [error], "data": None}
        document = graphql.parse(asked["query"])
        if faults := graphql.validate(SCHEMA, document):
            return {"errors": [{"message": each.message} for each in faults]}
        root = _Root(self, refuses=fault == "user_error")
        done = graphql.execute_sync(
            SCHEMA, document, root_value=root, variable_values=asked.get("variables")
        )
        said: dict[str, Any] = {"data": done.data, "extensions": extensions}
        if done.errors:
            said["errors"] = [{"message": each.message} for each in done.errors]
        return said

    def number(self) -> int:
        return next(self._numbers)


class _Root:
    """What queries and mutations of the top do; graphql-core calls these by their names."""

    def __init__(self, shop: Shop, *, refuses: bool) -> None:
        self._shop = shop
        self._refuses = refuses

    def order(self, _info: Any, id: str) -> Any:  # noqa: A002 - Shopify's name
        return self._shop.orders.get(id)

    def fulfillmentOrder(self, _info: Any, id: str) -> Any:  # noqa: A002, N802 - Shopify's name
        for order in self._shop.orders.values():
            for each in order["fulfillmentOrders"]["nodes"]:
                if each["id"] == id:
                    return {**each, "order": order}
        return None

    def orders(self, _info: Any, query: str, first: int, after: str | None = None, **_: Any) -> Any:
        assert query.startswith("updated_at:>='"), query
        since = datetime.fromisoformat(query.removeprefix("updated_at:>='").removesuffix("'"))
        found = [
            each
            for each in self._shop.orders.values()
            if datetime.fromisoformat(each["updatedAt"]) >= since
        ]
        found.sort(key=lambda each: datetime.fromisoformat(each["updatedAt"]))
        start = int(after or 0)
        page = {"hasNextPage": start + first < len(found), "endCursor": str(start + first)}
        return {"nodes": found[start : start + first], "pageInfo": page}

    def shop(self, _info: Any) -> Any:
        return {"name": "Lakeside", "myshopifyDomain": "lakeside.myshopify.com"}

    def currentAppInstallation(self, _info: Any) -> Any:  # noqa: N802 - Shopify's name
        return {"accessScopes": [{"handle": each} for each in self._shop.scopes]}

    def webhookSubscriptions(  # noqa: N802 - Shopify's name
        self, _info: Any, first: int, after: str | None = None
    ) -> Any:
        start, every = int(after or 0), self._shop.subscriptions
        page = {"hasNextPage": start + first < len(every), "endCursor": str(start + first)}
        return {"nodes": every[start : start + first], "pageInfo": page}

    def fulfillmentCreate(self, _info: Any, fulfillment: Any) -> Any:  # noqa: N802
        if self._refuses:
            return _refused("Fulfillment order is not fulfillable.")
        wanted = {each["fulfillmentOrderId"] for each in fulfillment["lineItemsByFulfillmentOrder"]}
        for order in self._shop.orders.values():
            nodes = [each for each in order["fulfillmentOrders"]["nodes"] if each["id"] in wanted]
            if nodes:
                break
        else:
            return _refused("Fulfillment order does not exist.")
        if any(each["status"] not in {"OPEN", "IN_PROGRESS"} for each in nodes):
            return _refused("The fulfillment order is not in an open state.")
        if len({each["assignedLocation"]["location"]["id"] for each in nodes}) > 1:
            return _refused("All fulfillment orders must be assigned to the same location.")
        for each in nodes:
            each["status"] = "CLOSED"
        made = {
            "id": f"gid://shopify/Fulfillment/{self._shop.number()}",
            "status": "SUCCESS",
            "trackingInfo": [fulfillment["trackingInfo"]],
            "notified": fulfillment["notifyCustomer"],
            "events": {"nodes": []},
        }
        order["fulfillments"].append(made)
        order["displayFulfillmentStatus"] = "FULFILLED"
        for each in order["lineItems"]["nodes"]:
            each["unfulfilledQuantity"] = 0
        return {"fulfillment": made, "userErrors": []}

    def fulfillmentEventCreate(self, _info: Any, fulfillmentEvent: Any) -> Any:  # noqa: N802, N803
        if self._refuses:
            return _refused("Fulfillment is cancelled.")
        for order in self._shop.orders.values():
            for each in order["fulfillments"]:
                if each["id"] == fulfillmentEvent["fulfillmentId"]:
                    made = {"id": f"gid://shopify/FulfillmentEvent/{self._shop.number()}"}
                    made |= {name: fulfillmentEvent[name] for name in ("status", "happenedAt")}
                    each["events"]["nodes"].append(made)
                    return {"fulfillmentEvent": made, "userErrors": []}
        return _refused("Fulfillment does not exist.")

    def refundCreate(self, info: Any, input: Any) -> Any:  # noqa: A002, N802 - Shopify's name
        directives = info.field_nodes[0].directives
        if [each.name.value for each in directives] != ["idempotent"]:
            raise graphql.GraphQLError("The @idempotent directive is required.")
        values = graphql.execution.values.get_directive_values(
            SCHEMA.get_directive("idempotent"), info.field_nodes[0], info.variable_values
        )
        key, refunds = values["key"], self._shop.refunds
        if key in refunds:
            before, made = refunds[key]
            if before != input:
                raise graphql.GraphQLError("The idempotency key was used with other parameters.")
            return {"refund": made, "userErrors": []}
        order = self._shop.orders[input["orderId"]]
        suggested = order["suggestedRefund"]
        most = Decimal(suggested["amountSet"]["shopMoney"]["amount"])
        if sum(Decimal(each["amount"]) for each in input["transactions"]) > most:
            return _refused("Refund amount exceeds what can be refunded.")
        made = {"id": f"gid://shopify/Refund/{self._shop.number()}"}
        refunds[key] = (input, made)
        nothing = {"shopMoney": {"amount": "0.00"}}
        order["suggestedRefund"] = {**suggested, "amountSet": nothing, "suggestedTransactions": []}
        return {"refund": made, "userErrors": []}

    def webhookSubscriptionCreate(  # noqa: N802
        self,
        _info: Any,
        topic: str,
        webhookSubscription: Any,  # noqa: N803
    ) -> Any:
        uri = webhookSubscription["uri"]
        if self._refuses or not uri.startswith("https://"):
            return _refused("Address protocol http:// is not supported")
        made = {
            "id": f"gid://shopify/WebhookSubscription/{self._shop.number()}",
            "topic": topic,
            "uri": uri,
        }
        if any((each["topic"], each["uri"]) == (topic, uri) for each in self._shop.subscriptions):
            return _refused("Address for this topic has already been taken")
        self._shop.subscriptions.append(made)
        return {"webhookSubscription": made, "userErrors": []}

    def webhookSubscriptionUpdate(  # noqa: N802
        self,
        _info: Any,
        id: str,  # noqa: A002
        webhookSubscription: Any,  # noqa: N803
    ) -> Any:
        for each in self._shop.subscriptions:
            if each["id"] == id:
                each["uri"] = webhookSubscription["uri"]
                return {"webhookSubscription": each, "userErrors": []}
        return _refused("Webhook subscription does not exist")


def _refused(message: str) -> dict[str, Any]:
    return {"userErrors": [{"field": None, "message": message}]}


def _operation(query: str) -> str:
    [definition] = [
        each
        for each in graphql.parse(query).definitions
        if isinstance(each, graphql.OperationDefinitionNode)
    ]
    assert definition.name is not None
    return definition.name.value


def _refundable(sent: Mapping[str, Any]) -> dict[str, Any]:
    amount = {"shopMoney": {"amount": "12.50" if sent["financial_status"] == "paid" else "0.00"}}
    transaction = {
        "gateway": "bogus",
        "parentTransaction": {"id": "gid://shopify/OrderTransaction/1"},
        "amountSet": amount,
    }
    return {
        "amountSet": amount,
        "refundLineItems": [
            {"lineItem": {"id": each["admin_graphql_api_id"]}, "quantity": each["quantity"]}
            for each in sent["line_items"]
        ],
        "suggestedTransactions": [transaction] if sent["financial_status"] == "paid" else [],
    }


def node_of(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as the GraphQL API shows what the webhook ``sent`` says."""
    customer = sent["customer"]
    status = sent["financial_status"]
    return {
        "id": sent["admin_graphql_api_id"],
        "name": sent["name"],
        "updatedAt": sent["updated_at"],
        "cancelledAt": sent["cancelled_at"],
        "test": sent["test"],
        "displayFinancialStatus": status and status.upper(),
        "closedAt": sent.get("closed_at"),
        "sourceName": sent.get("source_name", "web"),
        "currencyCode": sent["currency"],
        "presentmentCurrencyCode": sent.get("presentment_currency", sent["currency"]),
        "displayFulfillmentStatus": _fulfillment_status(sent),
        "totalOutstandingSet": {
            "shopMoney": {"amount": sent["total_outstanding"], "currencyCode": sent["currency"]},
            "presentmentMoney": {
                "amount": sent["total_outstanding"],
                "currencyCode": sent.get("presentment_currency", sent["currency"]),
            },
        },
        "note": sent["note"],
        "tags": [each.strip() for each in sent["tags"].split(",") if each],
        "phone": sent["phone"],
        "email": sent["email"],
        "customAttributes": _attributes(sent["note_attributes"]),
        "shippingAddress": _address(sent["shipping_address"]),
        "billingAddress": _address(sent["billing_address"]),
        "customer": customer
        and {
            "id": customer["admin_graphql_api_id"],
            "firstName": customer["first_name"],
            "lastName": customer["last_name"],
            "defaultEmailAddress": {"emailAddress": customer["email"]},
            "defaultPhoneNumber": customer["phone"] and {"phoneNumber": customer["phone"]},
        },
        "shippingLines": {
            "nodes": [
                {
                    "title": each["title"],
                    "code": each["code"],
                    "deliveryCategory": None,
                    "isRemoved": each["is_removed"],
                }
                for each in sent["shipping_lines"]
            ]
        },
        "lineItems": {
            "nodes": [
                {
                    "id": each["admin_graphql_api_id"],
                    "requiresShipping": each["requires_shipping"],
                    "quantity": each["quantity"],
                    "currentQuantity": each["current_quantity"],
                    "unfulfilledQuantity": each.get(
                        "fulfillable_quantity", each["current_quantity"]
                    ),
                    "customAttributes": _attributes(each["properties"]),
                }
                for each in sent["line_items"]
            ]
        },
    }


def _fulfillment_status(sent: Mapping[str, Any]) -> str:
    words = {None: "UNFULFILLED", "partial": "PARTIALLY_FULFILLED"}
    status = sent.get("fulfillment_status")
    return words.get(status) or str(status).upper()


def _attributes(found: Any) -> list[dict[str, Any]]:
    return [{"key": each["name"], "value": each["value"]} for each in found]


def _address(found: Any) -> dict[str, Any] | None:
    names = {
        "firstName": "first_name",
        "lastName": "last_name",
        "provinceCode": "province_code",
        "countryCodeV2": "country_code",
    }
    same = ("name", "address1", "address2", "city", "province", "zip", "country", "phone")
    return found and {
        **{new: found[old] for new, old in names.items()},
        **{each: found[each] for each in same},
        "company": found.get("company"),
    }
