"""``gateway demo``: the product shown on one machine, with made-up people and orders.

``story`` plays one order and ends; ``kept`` fills a temporary gateway with a day at two
pharmacies and serves it until it is stopped.
"""
