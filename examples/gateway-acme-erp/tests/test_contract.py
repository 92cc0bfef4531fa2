"""What the gateway expects of any plugin: the tests are its own."""

from gateway.testing import PluginContract


class TestAcmeErp(PluginContract):
    name = "acme_erp"
    configuration = """
[plugins.acme_erp]
bridge_url = "http://127.0.0.1:9/bridge"
token = "t0ken"
"""
