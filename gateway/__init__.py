"""The gateway's core: Orders in, Packages followed, Events out to Destinations.

Start reading at :mod:`gateway.hookspecs`; the public door for plugins is
:mod:`gateway.plugin`.
"""

from gateway.storage.without_orm import leave_out_orm
from gateway.version import __version__

__all__ = ["__version__"]

leave_out_orm()
