"""FHIR R4 in: a MedicationRequest, or a Bundle of them, as orders for ``/api/rx``.

A request that isn't an order is refused with the reason; an element without a field in a
prescription is held by name with ``unmapped_instruction``. ``docs/how-to/connect-an-emr.md`` has a
table of the elements.
"""

from gateway_rx_queue.fhir.orders import Order, orders
from gateway_rx_queue.fhir.validation import MEDIA_TYPE, check_fhir

__all__ = ["MEDIA_TYPE", "Order", "check_fhir", "orders"]
