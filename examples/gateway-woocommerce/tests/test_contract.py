"""What the gateway expects of any plugin: the tests are its own."""

from gateway.testing import PluginContract


class TestWooCommerce(PluginContract):
    name = "woocommerce"
    configuration = """
[plugins.woocommerce]
secrets = ["s3cret"]
"""
