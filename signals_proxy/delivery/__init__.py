"""Using accounts: checking them, and sending through them.

Read in this order: ``delivery`` (what each way of delivering offers), ``report`` (steps and
reasons), ``deliveries`` (tries and deadline); ``egress``, ``dial`` and ``tls`` (whereto, and whom to
believe); ``http`` and what sends by it, ``smtp`` and ``mail``.
"""

from signals_proxy.delivery.deliveries import Deliveries, Opened
from signals_proxy.delivery.report import Reason, Report, Step
from signals_proxy.delivery.settings import DeliverySettings, Rate
from signals_proxy.delivery.types import by_type

__all__ = [
    "Deliveries",
    "DeliverySettings",
    "Opened",
    "Rate",
    "Reason",
    "Report",
    "Step",
    "by_type",
]
