"""Which type of account delivers how."""

from collections.abc import Mapping

from signals_proxy.delivery.delivery import Delivery
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.email import Email
from signals_proxy.delivery.http import Http
from signals_proxy.delivery.jira import Jira
from signals_proxy.delivery.pagerduty import PagerDuty
from signals_proxy.delivery.settings import DeliverySettings
from signals_proxy.delivery.slack import Slack
from signals_proxy.delivery.teams import Teams
from signals_proxy.delivery.tokens import Tokens
from signals_proxy.delivery.webhook import Webhook

__all__ = ["by_type"]


def by_type(settings: DeliverySettings) -> Mapping[str, Delivery]:
    """Return what delivers, by the name of the account type."""
    egress = Egress(settings)
    http = Http(egress)
    tokens = Tokens(http)
    return {
        "email": Email(egress, tokens),
        "jira": Jira(http),
        "pagerduty": PagerDuty(http),
        "slack": Slack(http, settings.slack_api),
        "teams": Teams(http),
        "webhook": Webhook(http, tokens),
    }
