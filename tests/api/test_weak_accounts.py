"""A PUT says what is weak about the account that it makes; no other call does."""

import io
import re
from typing import Any

import pytest
from applications import JSON
from yarl import URL

from signals_proxy import __version__

WARNING = re.compile(rf'299 signals-proxy-{re.escape(__version__)} "([ !#-\[\]-~]+)"')


async def warnings(client: Any, body: bytes, query: str = "") -> list[str]:
    """PUT a body, and return the text of each ``Warning`` field of the answer."""
    url = URL(f"{client.url}/_signals/account/email/default{query}", encoded=True)
    async with client.session.put(url, data=io.BytesIO(body), headers=JSON) as answer:
        assert answer.status in {200, 201}
        found = [WARNING.fullmatch(value) for value in answer.headers.getall("Warning", [])]
    assert None not in found
    return [match[1] for match in found if match]


async def test_a_weak_account(client: Any, canary: Any, cluster: Any) -> None:
    """Each weakness has a field of its own, in a dry run and where nothing changes too."""
    secret = canary("password")
    body = f'{{"host":"a.test","port":25,"user":"u","trust_all":true,"password":"{secret}"}}'
    expected = [
        "password: travels in clear; set enable_start_tls or enable_tls",
        "trust_all: no certificate is checked, anybody on the way can read and change everything",
    ]
    assert await warnings(client, body.encode(), "?dry_run") == expected
    assert not cluster.exists()
    assert await warnings(client, body.encode()) == expected
    kept = b'{"host":"a.test","port":25,"user":"u","trust_all":true}'
    assert await warnings(client, kept) == expected
    for method, path in (("GET", "email/default"), ("GET", "_search"), ("DELETE", "email/default")):
        answer = await client.ask(method, path)
        assert answer.status == 200
        assert "Warning" not in answer.fields


@pytest.mark.parametrize(("day", "count"), [("2020-01-01", 1), ("9999-12-31", 0)])
async def test_an_account_that_expires(client: Any, day: str, count: int) -> None:
    body = f'{{"host":"a.test","port":25,"expires_at":"{day}"}}'
    assert len(await warnings(client, body.encode())) == count


async def test_an_account_that_is_refused(client: Any) -> None:
    """It is not weak, it is not there."""
    answer = await client.put({"host": "a.test", "trust_all": True})
    assert answer.status == 400
    assert "Warning" not in answer.fields
