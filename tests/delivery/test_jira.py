"""Jira, played as these describe it:

- https://developer.atlassian.com/cloud/jira/platform/rest/v2/api-group-issues/
- https://developer.atlassian.com/server/jira/platform/jira-rest-api-examples/
"""

import base64
import json

import pytest
from delivering import Delivering, account, over_http, settings, told
from recorder import recording
from tls_servers import listening

from signals_proxy.errors import Forbidden

ISSUE = {
    "type": "Bug",
    "summary": "Plattenplatz ß",
    "description": "so\nso",
    "priority": "High",
    "labels": ["a", "b"],
    "components": ["db"],
    "due_date": "2030-12-31",
    "parent_issue": "OPS-1",
}
FIELDS = {
    "project": {"key": "OPS"},
    "issuetype": {"name": "Bug"},
    "summary": "Plattenplatz ß",
    "description": "so\nso",
    "priority": {"name": "High"},
    "labels": ["a", "b"],
    "components": [{"name": "db"}],
    "duedate": "2030-12-31",
    "parent": {"key": "OPS-1"},
}
SMALL = {"project": "OPS", "issue": {"type": "Bug", "summary": "s"}}
CREATED = {"id": "10000", "key": "OPS-24", "self": "https://jira.test/rest/api/2/issue/10000"}


def answering(code, body=None):
    content = b"" if body is None else json.dumps(body).encode()
    head = f"HTTP/1.1 {code} X\r\nContent-Length: {len(content)}\r\n\r\n"
    return lambda _: head.encode() + content


@pytest.mark.parametrize("path", ["", "/", "/jira", "/jira/"])
async def test_an_issue(path):
    async with recording(answering(201, CREATED)) as jira:
        through = account("jira", url=jira.url + path, user_name="a@b.test", auth_token="t0ken")
        report = await Delivering().send(through, {"project": "OPS", "issue": ISSUE}, key="unused")
    assert report.answer == {"key": "OPS-24", "id": "10000"}
    (sent,) = jira.messages
    assert (sent.method, sent.target.decode()) == (b"POST", f"{path.rstrip('/')}/rest/api/2/issue")
    assert sent.values(b"Authorization") == [b"Basic " + base64.b64encode(b"a@b.test:t0ken")]
    assert json.loads(sent.content) == {"fields": FIELDS}


async def test_a_personal_access_token():
    async with recording(answering(201, CREATED)) as jira:
        await Delivering().send(account("jira", url=jira.url, auth_token="pat"), SMALL)
    assert jira.messages[0].values(b"Authorization") == [b"Bearer pat"]


async def test_a_created_issue_counts_even_if_the_answer_cannot_be_read():
    """It is there: nobody may be led to make it again."""

    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{")

    async with listening(talk) as port:
        through = account("jira", url=f"http://127.0.0.1:{port}", auth_token="t0ken")
        assert (await Delivering().send(through, SMALL)).answer == {}


async def test_a_refusal_says_why():
    body = {"errorMessages": ["no"], "errors": {"priority": "unknown"}, "status": 400}
    async with recording(answering(400, body)) as jira:
        failed = await Delivering().fails(account("jira", url=jira.url, auth_token="t0ken"), SMALL)
    assert told(failed) == ("send", "refused", 424)
    assert failed.answer == {"errorMessages": ["no"], "errors": {"priority": "unknown"}}


@pytest.mark.parametrize("who", [{"accountId": "5b10"}, {"name": "fred"}])
async def test_the_credentials_are_checked_without_an_issue(who):
    async with recording(answering(200, who)) as jira:
        through = account("jira", url=jira.url, user_name="u", auth_token="t0ken")
        report = await Delivering().check(through)
    assert (report.proved, report.answer) == ("authenticated", {})
    (sent,) = jira.messages
    assert (sent.method, sent.target) == (b"GET", b"/rest/api/2/myself")
    assert sent.values(b"Authorization") == [b"Basic dTp0MGtlbg=="]


async def test_a_page_that_says_200_proves_nothing():
    async with recording(answering(200, {"page": "log in"})) as jira:
        failed = await Delivering().check_fails(account("jira", url=jira.url, auth_token="t0ken"))
    assert told(failed) == ("send", "bad_answer", 424)


def test_only_allowed_projects():
    def prepare(project, **attributes):
        through = account("jira", url="https://jira.test", auth_token="t0ken", **attributes)
        over_http(settings())["jira"].prepare(through, {**SMALL, "project": project})

    prepare("OPS")
    prepare("OPS", allowed_projects=["OPS", "X*"])
    prepare("XY", allowed_projects=["OPS", "X*"])
    with pytest.raises(Forbidden, match="'AX'"):
        prepare("AX", allowed_projects=["OPS", "X*"])
    with pytest.raises(Forbidden):
        prepare("OPS", allowed_projects=[])
