"""The settings of deliveries: see ``delivery`` in ``config.example.yaml``."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

__all__ = ["SHARES", "DeliverySettings", "Network", "Rate"]

SHARES: Final = 4
"""Of the memory for messages one caller has the so manieth part at most."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may happen: ``burst`` times at once, then ``per_minute`` times a minute."""

    burst: int
    per_minute: float


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What may be delivered, whereto, and how long it may take.

    ``timeout_s`` bounds one call, all tries and waits included. ``max_body`` is that of one message,
    ``memory`` that of all at a time, in bytes.
    ``allowed_hosts`` are patterns of host names, ``allowed_networks`` addresses that may be
    reached although they are not public, ``denied_networks`` some that may not although they are.
    ``allowed_ports`` is empty where every port is. ``types`` are the account types that may be
    used, None for all. ``slack_api`` is the base of the URLs of Slack's Web API.
    """

    timeout_s: float = 30.0
    max_body: int = 10 * 1024 * 1024
    memory: int = 64 * 1024 * 1024
    allowed_hosts: tuple[str, ...] = ("*",)
    allowed_networks: tuple[Network, ...] = ()
    denied_networks: tuple[Network, ...] = ()
    allowed_ports: frozenset[int] = frozenset()
    types: frozenset[str] | None = None
    slack_api: str = "https://slack.com/api/"
    account_rate: Rate = Rate(120, 120)
    caller_rate: Rate = Rate(120, 120)
