"""Deliveries through accounts that nobody stored, to servers on this machine."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest
from accounts import validate

from signals_proxy.account import Account
from signals_proxy.delivery.deliveries import Deliveries, Opened
from signals_proxy.delivery.delivery import Delivery
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.http import Http
from signals_proxy.delivery.jira import Jira
from signals_proxy.delivery.pagerduty import PagerDuty
from signals_proxy.delivery.report import Report
from signals_proxy.delivery.settings import DeliverySettings
from signals_proxy.delivery.slack import Slack
from signals_proxy.delivery.teams import Teams
from signals_proxy.delivery.tokens import Tokens
from signals_proxy.delivery.webhook import Webhook
from signals_proxy.errors import DeliveryFailed

HERE = (ip_network("127.0.0.0/8"),)
"""Where the servers of tests are."""


def account(type_name: str, **attributes: Any) -> Account:
    """Return an account that fits its schema."""
    made: Account = validate(attributes, type_name=type_name)
    return made


def settings(**given: Any) -> DeliverySettings:
    """Return settings by which deliveries may go to this machine."""
    return DeliverySettings(**{"allowed_networks": HERE, **given})


def over_http(by: DeliverySettings) -> dict[str, Delivery]:
    """Return what delivers over HTTP."""
    http = Http(Egress(by))
    return {
        "slack": Slack(http, by.slack_api),
        "pagerduty": PagerDuty(http),
        "jira": Jira(http),
        "teams": Teams(http),
        "webhook": Webhook(http, Tokens(http)),
    }


class Delivering:
    """Deliveries, and how to call them for an account at hand."""

    def __init__(
        self, by: DeliverySettings | None = None, by_type: Mapping[str, Delivery] | None = None
    ) -> None:
        by = by or settings()
        self.deliveries = Deliveries(by, over_http(by) if by_type is None else by_type)
        self.reads = 0

    async def send(
        self, through: Account, message: Any, key: str | None = None, version: str = "1"
    ) -> Report:
        return await self.deliveries.send(self._read(through, version), message, key)

    async def check(self, through: Account) -> Report:
        return await self.deliveries.check(self._read(through, "1"))

    async def fails(
        self, through: Account, message: Any, key: str | None = None, version: str = "1"
    ) -> DeliveryFailed:
        """Return the failure that sending ends with."""
        with pytest.raises(DeliveryFailed) as failed:
            await self.send(through, message, key, version)
        return failed.value

    async def check_fails(self, through: Account) -> DeliveryFailed:
        """Return the failure that checking ends with."""
        with pytest.raises(DeliveryFailed) as failed:
            await self.check(through)
        return failed.value

    def _read(self, through: Account, version: str) -> Any:
        async def read() -> Opened:
            self.reads += 1
            return Opened(through, version)

        return read


def told(failed: DeliveryFailed) -> tuple[str, str, int]:
    """Return step, reason and status of a failure."""
    return str(failed.step), str(failed.reason), failed.status
