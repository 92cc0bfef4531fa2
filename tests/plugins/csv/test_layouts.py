"""Exports that are known by name import whole. All people and orders are made up."""

import csv
import io

import pytest
from gateway_csv.columns.layouts import layout_of
from plugins.csv.reading import read_file

ANA = {
    "patient_name": "Ana Reed",
    "patient_phone": "+16175550123",
}
ADDRESS = "5 Elm St, Apt 2, Boston, MA 02108"


def cells(text):
    """Return a row's cells out of a text with bars between them."""
    return text.split("|")


def table(*rows):
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


SHOPIFY = table(
    cells(
        "Name|Email|Financial Status|Paid at|Fulfillment Status|Fulfilled at|"
        "Currency|Subtotal|Total|Lineitem name|Lineitem quantity|Billing Name|"
        "Billing Street|Billing Phone|Shipping Name|Shipping Street|"
        "Shipping Address1|Shipping Address2|Shipping Company|Shipping City|"
        "Shipping Zip|Shipping Province|Shipping Country|Shipping Phone|Notes|"
        "Cancelled at|Id|Vendor|Phone"
    ),
    cells(
        "#1042|ana@example.com|paid|2026-11-19 10:00:00 -0500|unfulfilled||USD|12.00|"
        "12.00|Vitamin D|1|Cy Olm|9 Old Rd|617-555-0999|Ana Reed|5 Elm St, Apt 2|"
        "5 Elm St|Apt 2||Boston|'02108|MA|US|617-555-0123|ring twice||5123|"
        "Hill Drugs|"
    ),
)
HEADER = next(csv.reader(io.StringIO(SHOPIFY)))


def shopify_order(**cells):
    names = {"Financial_Status": "Financial Status", "Fulfillment_Status": "Fulfillment Status"}
    named = {names.get(name, name): cell for name, cell in cells.items()}
    return [named.get(each, "") for each in HEADER]


SHOPIFY += table(
    shopify_order(Name="#1043", Financial_Status="paid", Fulfillment_Status="fulfilled"),
    shopify_order(Name="#1044", Financial_Status="refunded"),
    shopify_order(**{"Name": "#1045", "Cancelled at": "2026-11-19 10:00:00 -0500"}),
)
FILES = {
    "Shopify": (SHOPIFY, "5 Elm St, Apt 2, Boston, MA 02108, US", "#1042", 3),
    "WooCommerce": (
        table(
            cells(
                "order_id|order_number|date|status|billing_first_name|billing_last_name|"
                "billing_address_1|billing_phone|shipping_first_name|shipping_last_name|"
                "shipping_address_1|shipping_address_2|shipping_city|shipping_state|"
                "shipping_postcode|shipping_country|shipping_phone|customer_note"
            ),
            cells(
                "1042|1042|2026-11-19 10:00:00|processing|Cy|Olm|9 Old Rd|617-555-0999|Ana|"
                "Reed|5 Elm St|Apt 2|Boston|MA|02108|US|617-555-0123|ring twice"
            ),
            cells(
                "1043|1043|2026-11-19 10:00:00|completed|Cy|Olm|9 Old Rd|617-555-0999|Bo|Fox|"
                "6 Elm St||Boston|MA|02108|US|617-555-0124|"
            ),
        ),
        "5 Elm St, Apt 2, Boston, MA 02108, US",
        "1042",
        1,
    ),
    "WooCommerce by titles": (
        table(
            cells(
                "Order Number|Order Status|Order Date|Customer Note|First Name (Billing)|"
                "Last Name (Billing)|Address 1&2 (Billing)|Phone (Billing)|"
                "First Name (Shipping)|Last Name (Shipping)|Address 1&2 (Shipping)|"
                "City (Shipping)|State Code (Shipping)|Postcode (Shipping)|"
                "Country Code (Shipping)|Phone (Shipping)|Item Name"
            ),
            cells(
                "1042|Processing|2026-11-19 10:00|ring twice|Cy|Olm|9 Old Rd|617-555-0999|Ana|"
                "Reed|5 Elm St, Apt 2|Boston|MA|02108|US|617-555-0123|Vitamin D"
            ),
            cells(
                "1043|Completed|2026-11-19 10:00||Cy|Olm|9 Old Rd|617-555-0999|Bo|Fox|"
                "6 Elm St|Boston|MA|02108|US|617-555-0124|Vitamin D"
            ),
        ),
        "5 Elm St, Apt 2, Boston, MA 02108, US",
        "1042",
        1,
    ),
    "ShipStation": (
        table(
            cells(
                "Order #|Order Date|Order Status|Order Total|Recipient Full Name|"
                "Recipient Phone|Recipient Company|Address Line 1|Address Line 2|City|State|"
                "Postal Code|Country Code|Item Name|Buyer Full Name|Notes to the Seller"
            ),
            cells(
                "1042|11/19/2026|Awaiting Shipment|12.00|Ana Reed|617-555-0123||5 Elm St|"
                "Apt 2|Boston|MA|02108|US|Vitamin D|Cy Olm|ring twice"
            ),
            cells(
                "1043|11/19/2026|Shipped|12.00|Bo Fox|617-555-0124||6 Elm St||Boston|MA|"
                "02108|US|Vitamin D|Cy Olm|"
            ),
        ),
        "5 Elm St, Apt 2, Boston, MA 02108, US",
        "1042",
        1,
    ),
    "ShipStation by ship-to": (
        table(
            cells(
                "Order - Number|Order - Status|Ship To - Name|Ship To - Address 1|"
                "Ship To - Address 2|Ship To - City|Ship To - State|Ship To - Postal Code|"
                "Ship To - Country|Ship To - Phone|Bill To - Name|Notes - From Buyer"
            ),
            cells(
                "1042|awaiting_shipment|Ana Reed|5 Elm St|Apt 2|Boston|MA|02108|US|"
                "617-555-0123|Cy Olm|ring twice"
            ),
            cells("1043|shipped|Bo Fox|6 Elm St||Boston|MA|02108|US|617-555-0124|Cy Olm|"),
        ),
        "5 Elm St, Apt 2, Boston, MA 02108, US",
        "1042",
        1,
    ),
    "Onfleet": (
        table(
            cells(
                "Recipient_Name|Recipient_Phone|Address_Line1|Address_Line2|City/Town|"
                "State/Province|Postal_Code|Country|Task_Details|completeBefore|"
                "completeAfter|Pickup|Merchant|Order_ID"
            ),
            cells(
                "Ana Reed|617-555-0123|5 Elm St|Apt 2|Boston|MA|02108|US|ring twice|||FALSE|"
                "Hill Drugs|1042"
            ),
        ),
        "5 Elm St, Apt 2, Boston, MA 02108, US",
        "1042",
        0,
    ),
    "Circuit": (
        table(
            cells(
                "Address Line 1|Address Line 2|City|State|Zip|Recipient name|Phone number|"
                "Package count|Driver (email or phone)|Notes|Seller website|Order ID"
            ),
            cells(
                "5 Elm St|Apt 2|Boston|MA|02108|Ana Reed|617-555-0123|1|dan@example.com|"
                "ring twice|example.com|1042"
            ),
        ),
        ADDRESS,
        "1042",
        0,
    ),
    "OptimoRoute": (
        table(
            cells(
                "Order Number|Date|Type|Location name|Address|Latitude|Longitude|Phone|"
                "Duration (min)|Priority|Driver|Notes|Status"
            ),
            cells(
                f"1042|2026-11-23|D|Ana Reed|{ADDRESS}|42.35|-71.06|617-555-0123|5|M|"
                "Dan Driver|ring twice|Scheduled"
            ),
            cells(
                "1043|2026-11-23|D|Bo Fox|6 Elm St, Boston|42.35|-71.06|617-555-0124|5|M|"
                "Dan Driver||Success"
            ),
        ),
        ADDRESS,
        "1042",
        1,
    ),
    "Detrack": (
        table(
            cells(
                "Date|D.O. No.|Address|Deliver to|Phone|Notify email|Assign to|Instructions|Zone|"
                "Status|Reason"
            ),
            cells(
                f"2026-11-23|1042|{ADDRESS}|Ana Reed|617-555-0123|ana@example.com|Van 2|"
                "ring twice|North|In progress|"
            ),
            cells("2026-11-23|1043|6 Elm St, Boston|Bo Fox|617-555-0124||Van 2||North|Delivered|"),
        ),
        ADDRESS,
        "1042",
        1,
    ),
    "Route4Me": (
        table(
            cells(
                "Alias|Address|City|State|Zipcode|Phone|First Name|Last Name|Email|Notes|"
                "Order Number|Member ID"
            ),
            cells(
                "Home of Ana|5 Elm St, Apt 2|Boston|MA|02108|617-555-0123|Ana|Reed|"
                "ana@example.com|ring twice|1042|77"
            ),
        ),
        ADDRESS,
        "1042",
        0,
    ),
}
PHARMACIES = {
    "PioneerRx": (
        cells(
            "Patient Full Name Last then First|Patient Primary Address Line 1|"
            "Patient Primary City|Patient Primary State|Patient Primary Zip|"
            "Patient Primary Phone|Rx Number|Copay|Prescriber Full Name"
        ),
        cells("Reed, Ana|5 Elm St, Apt 2|Boston|MA|02108|617-555-0123|7001|4.50|Lee, Dr"),
    ),
    "BestRx": (
        cells(
            "Rx #|Patient Name|Address|City|State|Zip|Phone #|Drug Name|Qty|Pat. Pay|"
            "Doctor Name|Doctor Phone"
        ),
        cells(
            "7001|Ana Reed|5 Elm St, Apt 2|Boston|MA|02108|617-555-0123|"
            "Amoxicillin 500 mg|30|4.50|Dr Lee|617-555-0999"
        ),
    ),
    "PrimeRx": (
        cells("RXNO|PATIENTNAME|PATADDRESS|PATCITY|PATSTATE|PATZIP|PATPHONE|COPAY|DOCTORNAME"),
        cells("7001|Ana Reed|5 Elm St, Apt 2|Boston|MA|02108|617-555-0123|4.50|Dr Lee"),
    ),
    "Liberty": (
        cells(
            "ScriptNumber|PatientFirstName|PatientLastName|PatientStreet|PatientCity|"
            "PatientState|PatientZip|PatientPhone|CopayAmount"
        ),
        cells("7001|Ana|Reed|5 Elm St, Apt 2|Boston|MA|02108|617-555-0123|4.50"),
    ),
    "Kroll": (
        cells(
            "Rx Num|Last Name|First Name|Address 1|Address 2|City|Prov|Postal|Phone|"
            "Pat Pays|Doctor Last Name|DIN"
        ),
        cells("7001|Reed|Ana|5 Elm St|Apt 2|Boston|MA|02108|617-555-0123|4.50|Lee|02242705"),
    ),
    "Propel": (
        cells(
            "Rx Number|Patient Name|Patient Address|Patient City|Patient Province|"
            "Patient Postal Code|Patient Phone Number|Patient Pays"
        ),
        cells("7001|Ana Reed|5 Elm St, Apt 2|Boston|MA|02108|617-555-0123|4.50"),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_known_export_imports_whole_but_for_what_is_delivered_or_cancelled(name):
    file, address, order_id, ended = FILES[name]

    outcome = read_file(file)

    [order] = outcome.said
    assert outcome.errors == {}
    assert {field: order[field] for field in ANA} == ANA
    assert (order["patient_address"], order["external_order_id"]) == (address, order_id)
    assert order["notes"] == "ring twice"
    assert len(outcome.skipped) == ended
    assert layout_of(file.splitlines()[0].split(",")).name == name.partition(" by ")[0]


@pytest.mark.parametrize("name", PHARMACIES)
def test_an_export_of_pharmacy_software_imports_whole(name):
    """The columns are those that users of these programs show in public; no layout is needed."""
    outcome = read_file(table(*PHARMACIES[name]))

    [order] = outcome.said
    assert {field: order[field] for field in ANA} == ANA
    assert order["patient_address"] == ADDRESS
    assert (order["rx_number"], order["copay_amount"]) == ("7001", "4.50")


def test_more_lines_of_one_order_are_not_more_orders():
    """Shopify writes a line for each item, with the address in the first one only."""
    lines = SHOPIFY.splitlines()
    more = table(["#1042", "ana@example.com", *[""] * 26])

    outcome = read_file("\n".join([*lines[:2], more]))

    assert list(outcome.orders) == [2]
