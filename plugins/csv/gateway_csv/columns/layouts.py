"""The export layouts of known programs: the fields of their columns.

A file is of a layout when it has all of the layout's ``signature``. Then the layout's own
columns count, and no others: an export has a dozen columns whose names mislead.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from gateway_csv.columns.headers import normal


class KnownLayout(NamedTuple):
    """An export's name, the headers that identify it, and fields by normal header."""

    name: str
    signature: frozenset[str]
    fields: Mapping[str, str]


def layout_of(headers: Sequence[str]) -> KnownLayout | None:
    """Return the known layout of a table's headers, if any."""
    names = {normal(each) for each in headers}
    found = [each for each in _layouts() if each.signature <= names]
    return max(found, key=lambda each: len(each.signature), default=None)


@lru_cache(maxsize=1)
def _layouts() -> tuple[KnownLayout, ...]:
    return tuple(
        KnownLayout(
            name,
            frozenset(map(normal, signature)),
            {normal(header): field for header, field in fields.items()},
        )
        for name, signature, fields in _LAYOUTS
    )


_LAYOUTS: Final[tuple[tuple[str, tuple[str, ...], Mapping[str, str]], ...]] = (
    (
        "gateway csv export",
        ("package_id", "status", "created_at", "patient_name", "patient_address"),
        {
            "package_id": "package_id",
            "status": "status",
            "site": "site",
            "patient_name": "patient_name",
            "patient_address": "patient_address",
            "patient_phone": "patient_phone",
            "patient_email": "patient_email",
            "rx_number": "rx_number",
            "copay_amount": "copay_amount",
            "priority": "priority",
            "requires_signature": "requires_signature",
            "delivery_date": "delivery_date",
            "notes": "notes",
            "external_patient_id": "external_patient_id",
            "external_order_id": "external_order_id",
            "metadata": "metadata",
            "prescriptions": "prescriptions",
            "delivered_at": "ended_at",
        },
    ),
    (
        # help.shopify.com: Exporting orders
        "Shopify",
        ("Name", "Financial Status", "Shipping Name", "Shipping City", "Shipping Zip"),
        {
            "Name": "external_order_id",
            "Email": "patient_email",
            "Financial Status": "status",
            "Fulfillment Status": "status",
            "Fulfilled at": "ended_at",
            "Cancelled at": "ended_at",
            "Shipping Name": "patient_name",
            "Shipping Address1": "patient_address",
            "Shipping Street": "patient_address",
            "Shipping Address2": "address2",
            "Shipping City": "city",
            "Shipping Province": "state",
            "Shipping Zip": "postal_code",
            "Shipping Country": "country",
            "Shipping Phone": "patient_phone",
            "Phone": "patient_phone",
            "Notes": "notes",
        },
    ),
    (
        # woocommerce.com/document/ordercustomer-csv-export: default format
        "WooCommerce",
        ("order_id", "status", "shipping_first_name", "shipping_last_name", "shipping_address_1"),
        {
            "order_id": "external_order_id",
            "status": "status",
            "shipping_first_name": "first_name",
            "shipping_last_name": "last_name",
            "shipping_address_1": "patient_address",
            "shipping_address_2": "address2",
            "shipping_city": "city",
            "shipping_state": "state",
            "shipping_postcode": "postal_code",
            "shipping_country": "country",
            "shipping_phone": "patient_phone",
            "billing_email": "patient_email",
            "customer_note": "notes",
        },
    ),
    (
        # The export plugin that most shops use writes titles instead of names.
        "WooCommerce",
        ("Order Number", "Order Status", "First Name (Shipping)", "Address 1&2 (Shipping)"),
        {
            "Order Number": "external_order_id",
            "Order Status": "status",
            "First Name (Shipping)": "first_name",
            "Last Name (Shipping)": "last_name",
            "Address 1&2 (Shipping)": "patient_address",
            "City (Shipping)": "city",
            "State Code (Shipping)": "state",
            "Postcode (Shipping)": "postal_code",
            "Country Code (Shipping)": "country",
            "Phone (Shipping)": "patient_phone",
            "Email (Billing)": "patient_email",
            "Customer Note": "notes",
        },
    ),
    (
        # help.shipstation.com: CSV order export and import
        "ShipStation",
        ("Order #", "Recipient Full Name", "Address Line 1"),
        {
            "Order #": "external_order_id",
            "Order Status": "status",
            "Recipient Full Name": "patient_name",
            "Recipient Phone": "patient_phone",
            "Recipient Email": "patient_email",
            "Address Line 1": "patient_address",
            "Address Line 2": "address2",
            "City": "city",
            "State": "state",
            "Postal Code": "postal_code",
            "Country Code": "country",
            "Buyer Email": "patient_email",
            "Notes to the Seller": "notes",
        },
    ),
    (
        "ShipStation",
        ("Order - Number", "Ship To - Name", "Ship To - Address 1"),
        {
            "Order - Number": "external_order_id",
            "Order - Status": "status",
            "Ship To - Name": "patient_name",
            "Ship To - Address 1": "patient_address",
            "Ship To - Address 2": "address2",
            "Ship To - City": "city",
            "Ship To - State": "state",
            "Ship To - Postal Code": "postal_code",
            "Ship To - Country": "country",
            "Ship To - Phone": "patient_phone",
            "Customer Email": "patient_email",
            "Notes - From Buyer": "notes",
        },
    ),
    (
        # support.onfleet.com: Task import, template
        "Onfleet",
        ("Address_Line1", "City/Town", "Postal_Code", "Recipient_Name"),
        {
            "Address_Line1": "patient_address",
            "Address_Line2": "address2",
            "City/Town": "city",
            "State/Province": "state",
            "Postal_Code": "postal_code",
            "Country": "country",
            "Recipient_Name": "patient_name",
            "Recipient_Phone": "patient_phone",
            "Recipient_Notes": "notes",
            "Task_Details": "notes",
            "Order_ID": "external_order_id",
        },
    ),
    (
        # support.onfleet.com: Task export
        "Onfleet",
        ("shortId", "destinationStreet", "recipientsNames"),
        {
            "shortId": "external_order_id",
            "taskStatus": "status",
            "completionTime": "ended_at",
            "recipientsNames": "patient_name",
            "recipientsNumbers": "patient_phone",
            "destinationNumber": "street_number",
            "destinationStreet": "patient_address",
            "destinationApartment": "address2",
            "destinationCity": "city",
            "destinationState": "state",
            "destinationPostalCode": "postal_code",
            "destinationCountry": "country",
            "taskDetails": "notes",
        },
    ),
    (
        # help.getcircuit.com: Import spreadsheet, template for teams
        "Circuit",
        ("Address Line 1", "Recipient name", "Package count"),
        {
            "Address Line 1": "patient_address",
            "Address Line 2": "address2",
            "City": "city",
            "State": "state",
            "Zip": "postal_code",
            "Postal code": "postal_code",
            "Country": "country",
            "Recipient name": "patient_name",
            "Phone": "patient_phone",
            "Phone number": "patient_phone",
            "Recipient phone number": "patient_phone",
            "Email": "patient_email",
            "Recipient email address": "patient_email",
            "Notes": "notes",
            "Internal notes": "notes",
            "Order ID": "external_order_id",
            "Seller order ID": "external_order_id",
            "Stop status": "status",
        },
    ),
    (
        # optimoroute.com/help: Importing orders
        "OptimoRoute",
        ("Order Number", "Location name", "Address"),
        {
            "Order Number": "external_order_id",
            "Order ID": "external_order_id",
            "Location name": "patient_name",
            "Address": "patient_address",
            "Phone": "patient_phone",
            "Phone number": "patient_phone",
            "Email": "patient_email",
            "Customer email": "patient_email",
            "Date": "delivery_date",
            "Notes": "notes",
            "Status": "status",
            "Completion Time": "ended_at",
        },
    ),
    (
        # detrack.com: Import and export of delivery jobs
        "Detrack",
        ("D.O. No.", "Deliver to", "Address"),
        {
            "D.O. No.": "external_order_id",
            "Date": "delivery_date",
            "Deliver to": "patient_name",
            "Address": "patient_address",
            "Phone": "patient_phone",
            "Phone No.": "patient_phone",
            "Notify email": "patient_email",
            "Instructions": "notes",
            "Status": "status",
            "POD at": "ended_at",
        },
    ),
    (
        "Detrack",
        ("D.O.", "Deliver to/Collect from", "Address"),
        {
            "D.O.": "external_order_id",
            "Date": "delivery_date",
            "Deliver to/Collect from": "patient_name",
            "Address": "patient_address",
            "Phone": "patient_phone",
            "Instructions": "notes",
            "Status": "status",
        },
    ),
    (
        # support.route4me.com: Address import and route export
        "Route4Me",
        ("Alias", "Address", "Member ID"),
        {
            "Alias": "patient_name",
            "Address": "patient_address",
            "Phone": "patient_phone",
            "Email": "patient_email",
            "Order No": "external_order_id",
            "Notes": "notes",
            "Stop Status": "status",
        },
    ),
    (
        "Route4Me",
        ("EXT_FIELD_first_name", "EXT_FIELD_last_name", "Address_1"),
        {
            "EXT_FIELD_first_name": "first_name",
            "EXT_FIELD_last_name": "last_name",
            "EXT_FIELD_phone": "patient_phone",
            "EXT_FIELD_email": "patient_email",
            "EXT_FIELD_custom_data": "metadata",
            "Address_1": "patient_address",
        },
    ),
    (
        "Route4Me",
        ("First Name", "Last Name", "Address", "Alias"),
        {
            "First Name": "first_name",
            "Last Name": "last_name",
            "Address": "patient_address",
            "City": "city",
            "State": "state",
            "Zipcode": "postal_code",
            "Phone": "patient_phone",
            "Phone Number": "patient_phone",
            "Email": "patient_email",
            "Notes": "notes",
            "Order Number": "external_order_id",
        },
    ),
)
