"""Plugins as a vendor might bring them: one that is well, one that fails when it is asked."""

PULSE = '''
import click
import msgspec
from gateway.plugin import API_VERSION, HealthCheck, HealthReport, command, hookimpl

class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    healthy: bool = True
    rate: int = 1

class Plugin:
    api_version = API_VERSION
    Settings = Settings

    def __init__(self, settings, gateway):
        self.settings, self.gateway = settings, gateway

    @hookimpl
    def health_checks(self):
        return [HealthCheck("pulse", self.check)]

    @hookimpl
    def cli_commands(self):
        return [pulse, click.Command("keys", help="Not the core's.")]

    async def check(self):
        await self.gateway.database.ping()
        return HealthReport(healthy=self.settings.healthy, detail="60 a minute")

@command("pulse")
async def pulse(session):
    """Take the pulse."""
    async with session.gateway() as gateway:
        session.record({"pulse": 60, "account": gateway.settings.file})
'''
MOODY = """
import msgspec
from gateway.plugin import API_VERSION, hookimpl

class Plugin:
    api_version = API_VERSION
    class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        pass

    def __init__(self, settings, gateway):
        pass

    @hookimpl
    def jobs(self):
        raise RuntimeError("no jobs today")

    @hookimpl
    def cli_commands(self):
        raise RuntimeError("no commands either")
"""
