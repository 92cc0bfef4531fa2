"""The queue's pages: Review and Queue."""

from gateway.plugin import Page
from gateway_rx_queue.pages.queue_page import QueuePages
from gateway_rx_queue.pages.review_page import ReviewPages
from gateway_rx_queue.service import RxService


def rx_pages(queue: RxService) -> list[Page]:
    """Return the pages, over the same services as the routes."""
    return [*ReviewPages(queue).pages(), *QueuePages(queue).pages()]
