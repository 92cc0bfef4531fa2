"""How much of the gateway one order walks through: little enough to read in an afternoon."""

from walk import walked

# Decision 0049 says what those above 42 are there for.
MOST_FILES = 55


async def test_an_order_enters_few_files_from_its_route_to_its_attempt(tmp_path):
    files = await walked(tmp_path)

    for entered in (
        "plugins/json_api/gateway_json_api/order_routes.py",
        "gateway/intake/orders.py",
        "gateway/delivery/publisher.py",
        "gateway/delivery/lane.py",
        "plugins/webhooks/gateway_webhooks/sender.py",
        "gateway/storage/stores/outbox.py",
    ):
        assert entered in files
    assert len(files) <= MOST_FILES, "\n".join(files)
