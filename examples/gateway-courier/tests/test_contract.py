"""What the gateway expects of any plugin: the tests are its own."""

from gateway.testing import PluginContract


class TestCourier(PluginContract):
    name = "courier"
    configuration = """
[plugins.courier]
api_url = "http://127.0.0.1:9"
client_id = "pharmacy"
client_secret = "s3cret"
"""
