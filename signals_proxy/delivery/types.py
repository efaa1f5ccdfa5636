"""Which type of account delivers how."""

from collections.abc import Mapping

from signals_proxy.delivery.delivery import Delivery
from signals_proxy.delivery.settings import DeliverySettings

__all__ = ["by_type"]


def by_type(settings: DeliverySettings) -> Mapping[str, Delivery]:
    """Return what delivers, by the name of the account type."""
    del settings
    return {}
