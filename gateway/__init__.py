"""The gateway's core: Orders in, Packages followed, Events out to Destinations.

Start reading at :mod:`gateway.hookspecs`; the public door for plugins is
:mod:`gateway.plugin`.
"""

from gateway.libraries.left_out import leave_out
from gateway.version import __version__

__all__ = ["__version__"]

leave_out()
