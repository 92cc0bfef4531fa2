"""What a plugin's event type shows to callers without the reveal permissions."""

from core.gateways import draft, opened, package, sqlite_url, timeline
from gateway_json_api.mapping import event_out

from gateway.hookspecs import hookimpl
from gateway.model.account import Caller
from gateway.model.event import EventType
from gateway.testing.inspection import event_type_faults

DATA = {"erp_no": "4711", "patient_name": "Maria Rodriguez", "remark": "call first"}
SYNCED = EventType(
    type="acme.synced", meaning="Synced.", sample=DATA, schema={}, shown=("erp_no", "patient_name")
)


class Acme:
    @hookimpl
    def event_types(self):
        return [SYNCED]


async def test_a_type_names_what_holds_no_patient_data_and_no_name_of_a_patient(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, plugins=[Acme()]) as gateway:
        package_id = await package(gateway)
        await gateway.publisher.publish(
            [draft(gateway, "acme.synced", subject=package_id, data=DATA)]
        )
        event = (await timeline(gateway, package_id))[-1]
        caller = Caller("default", "live", "key_1", permissions=frozenset({"packages.read"}))

        shown = event_out(event, caller, gateway.shown_of(event.type)).data

    assert shown == {"erp_no": "4711", "patient_name": "Maria R.", "remark": None}


def test_the_contract_refuses_a_type_that_shows_a_patient():
    assert list(event_type_faults([SYNCED])) == [
        "acme.synced shows patient_name, which holds patient data"
    ]
