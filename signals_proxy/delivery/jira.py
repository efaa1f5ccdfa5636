"""Issues in Jira, of Atlassian's Cloud or a Data Center, by its REST API, version 2.

https://developer.atlassian.com/cloud/jira/platform/rest/v2/api-group-issues/#api-rest-api-2-issue-post
https://developer.atlassian.com/server/jira/platform/jira-rest-api-examples/
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from signals_proxy.account import glob
from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.delivery.answers import Answer, failure
from signals_proxy.delivery.delivery import AUTHENTICATED, Attempt, Message, Place
from signals_proxy.delivery.http import (
    HttpDelivery,
    Request,
    basic,
    encoded,
    place_of,
)
from signals_proxy.errors import Forbidden

__all__ = ["Jira"]

_SAME_NAME: Final = ("summary", "description", "labels")


class Jira(HttpDelivery):
    """A message becomes an issue, once: there is nothing in Jira to drop a repeat by.

    So an ``Idempotency-Key`` has no effect.
    """

    def places(self, account: Account) -> Iterable[Place]:
        yield place_of("url", str(account.public["url"]))

    def prepare(self, account: Account, message: Message) -> Message:
        project = str(message["project"])
        allowed = cast("list[str] | None", account.public.get("allowed_projects"))
        if allowed is not None and not any(glob.fits(pattern, project) for pattern in allowed):
            raise Forbidden(f"The account allows no issues in the project '{project}'.")
        return {"fields": _fields(project, cast("Mapping[str, Any]", message["issue"]))}

    async def check(self, attempt: Attempt) -> str:
        request = _request(attempt.account, "myself", method="GET", acts=False)
        answer = await self._http.exchange(request, attempt)
        # A Cloud tells the first, a Data Center the other; a log-in page of some proxy neither.
        if answer.status == 200 and answer.texts("accountId", "name"):
            return AUTHENTICATED
        raise failure(answer, _said(answer), acts=False)

    async def send(self, attempt: Attempt, message: Message) -> Mapping[str, Json]:
        request = _request(attempt.account, "issue", encoded(message))
        answer = await self._http.exchange(request, attempt)
        if answer.status == 201:
            return answer.texts("key", "id")
        raise failure(answer, _said(answer))


def _request(account: Account, call: str, body: bytes = b"", **options: Any) -> Request:
    url, token = str(account.public["url"]), account.secrets["auth_token"].reveal()
    user = account.public.get("user_name")
    fields = {
        "Authorization": f"Bearer {token}" if user is None else basic(str(user), token),
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    base = url.partition("?")[0].rstrip("/")
    return Request("url", f"{base}/rest/api/2/{call}", fields, body, **options)


def _fields(project: str, issue: Mapping[str, Any]) -> dict[str, Json]:
    fields: dict[str, Json] = {name: issue[name] for name in _SAME_NAME if name in issue}
    fields |= {"project": {"key": project}, "issuetype": {"name": issue["type"]}}
    if "priority" in issue:
        fields["priority"] = {"name": issue["priority"]}
    if "components" in issue:
        fields["components"] = [{"name": name} for name in issue["components"]]
    if "due_date" in issue:
        fields["duedate"] = issue["due_date"]
    if "parent_issue" in issue:
        fields["parent"] = {"key": issue["parent_issue"]}
    return fields


def _said(answer: Answer) -> dict[str, Json]:
    members = answer.members()
    return {name: members[name] for name in ("errorMessages", "errors") if name in members}
