"""A target is ours in one spelling; whatever could be taken for ours is refused, not forwarded."""

import contextlib
import re
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signals_proxy.account.ref import AccountCall, Endpoint, Ref, parse
from signals_proxy.errors import InvalidTarget

TYPES = frozenset({"email", "slack"})


@pytest.mark.parametrize(
    ("target", "call"),
    [
        (
            "/_signals/account/email/default",
            AccountCall(Endpoint.ACCOUNT, ref=Ref("email", "default")),
        ),
        (
            "/_signals/account/EMail/Default?pretty&q=a%20b+c&x==",
            AccountCall(
                Endpoint.ACCOUNT,
                (("pretty", ""), ("q", "a b c"), ("x", "=")),
                Ref("email", "Default"),
            ),
        ),
        (
            "/_signals/account/admin%20tenant/slack/%C3%A4%25%3B",
            AccountCall(Endpoint.ACCOUNT, ref=Ref("slack", "ä%;", "admin tenant")),
        ),
        (
            "/_signals/account/_main/slack/a",
            AccountCall(Endpoint.ACCOUNT, ref=Ref("slack", "a")),
        ),
        (
            "/_signals/account/slac%E2%84%AA/a",
            AccountCall(Endpoint.ACCOUNT, ref=Ref("slac\u212a", "a")),
        ),
        (
            "/_signals/account/slack/a/_test",
            AccountCall(Endpoint.TEST, ref=Ref("slack", "a")),
        ),
        (
            "/_signals/account/t/slack/a/_send",
            AccountCall(Endpoint.SEND, ref=Ref("slack", "a", "t")),
        ),
        (
            "/_signals/account/t/slack/a/_status?",
            AccountCall(Endpoint.STATUS, ref=Ref("slack", "a", "t")),
        ),
        (
            "/_signals/account/_search?size=1&&from=2",
            AccountCall(Endpoint.SEARCH, (("size", "1"), ("from", "2"))),
        ),
        ("/_signals/account/t/_search", AccountCall(Endpoint.SEARCH, tenant="t")),
        ("/_signals/account/_main/_search", AccountCall(Endpoint.SEARCH)),
        ("/_signals/account/_schema", AccountCall(Endpoint.SCHEMA)),
        ("/_signals/account/_schema/Email", AccountCall(Endpoint.SCHEMA_TYPE, type="email")),
        ("/_signals/account/_openapi", AccountCall(Endpoint.OPENAPI)),
        ("/_signals/account/_key", AccountCall(Endpoint.KEY)),
    ],
)
def test_our_calls(target, call):
    """Every form of the API is recognised, with names and parameters decoded."""
    assert call == parse(target, TYPES)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "*",
        "",
        "/index/_search?x=y",
        "/index/_search?q=/_signals/account/email/x",
        "/%3Clogs-%7Bnow%2Fd%7D%3E/_search",
        "/_signals",
        "/_signals/",
        "/_signals/watch/_main/account",
        "/_signals/accounts",
        "/_signals/account_x/email/a",
        "/_signals/accounts%2Fx",
        "/signals/account/email/a",
        "/_signals2/account/email/a",
        "/my_signals/account",
        "/x/_signals/account/email/a",
        "/index/_doc/%2F_signals%2Faccount",
        "/index/_doc/caf%C3%A9%FF",
        "/index/_doc/%5F%25",
        "/index/_doc/%25252525",
        "/.signals_accounts/_doc/email%2Fdefault",
        "http://host/_search",
        "/%",
    ],
)
def test_what_is_not_ours(target):
    """The cluster's own paths are left alone, those beside ours included."""
    assert parse(target, TYPES) is None


LOOK_ALIKES = [
    "//_signals/account/email/a",
    "/_signals//account/email/a",
    "/%5Fsignals/account/email/a",
    "/%255Fsignals/account/email/a",
    "/%25255Fsignals/account/email/a",
    "/%%35%46signals/account/email/a",
    "/_sign%61ls/account/email/a",
    "/_signals%2Faccount/email/a",
    "/_signals%2faccount%2femail%2fa",
    "/_signals/account%2Femail/a",
    "/_signals/account%3Fx",
    "/%2F_signals/account/email/a",
    "/./_signals/account/email/a",
    "/x/../_signals/account/email/a",
    "/x/%2e%2E/_signals/account/email/a",
    "/_signals/./account/email/a",
    "/_signals/a//../../account/email/a",
    "/x//../_signals/account/email/a",
    "/_signals/watch/../account/email/a",
    "\\_signals\\account\\email\\a",
    "/_signals%5Caccount",
    "/_signals;x=y/account/email/a",
    "/_s%69gnals;%2fa/account/email/x",  # to a reader that takes parameters off before it decodes
    "/_signals/account;x=y/email/a",
    "/;x/_signals/account/email/a",
    "/_signals/account#x",
    "http://host/_signals/account/email/a",
    "http://host:9200//_signals/account/email/a",
    "HTTPS:\\\\host\\_signals\\account",
    "//host/_signals/account/email/a",
    "_signals/account/email/a",
    "/_SIGNALS/account/email/a",
    "/_signals/Account/email/a",
    "/_signals%20/account/email/a",
    "/_signals%00/account/email/a",
    "/_sig%09nals/account/email/a",
    "/_sig%7Fnals/account/email/a",
    "/\t_signals/account/email/a",
    "/%u005Fsignals/account/email/a",
    "/%C1%9Fsignals/account/email/a",
    "/%E0%81%9Fsignals/account/email/a",
    "/%F0%80%81%9Fsignals/account/email/a",
    "/\xc1\x9fsignals/account/email/a",
    "/%EF%BC%BFsignals/account/email/a",
    "/_%C5%BFignals/account/email/a",
    "/_\xc5\xbfignals/account/email/a",
    "/%25252525252525252561",
]


@pytest.mark.parametrize("target", LOOK_ALIKES)
def test_look_alikes_are_refused(target):
    """A target that some reader takes for ours never reaches the cluster."""
    with pytest.raises(InvalidTarget):
        parse(target, TYPES)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "no such target"),
        ("/", "is empty"),
        ("/email", "no such target"),
        ("/email/", "is empty"),
        ("/email/a/", "is empty"),
        ("/email/a/b/c", "no such target"),
        ("/t/email/a/_nonsense", "no such target"),
        ("/email/a/_nonsense", "id begins with '_'"),
        ("/_nonsense", "no such target"),
        ("/_schema/_x", "id begins with '_'"),
        ("/_all/email/a", "id begins with '_'"),
        ("/_MAIN/email/a", "id begins with '_'"),
        ("/email/_a", "id begins with '_'"),
        ("/email/%5Fa", "id begins with '_'"),
        ("/_email/a", "id begins with '_'"),
        ("/slack/email/a", "named like an account type"),
        ("/Slack/email/a", "named like an account type"),
        ("/email/_search", "named like an account type"),
        ("/email/.", "'.' or '..'"),
        ("/email/%2e%2e", "'.' or '..'"),
        ("/email/a%2Fb", "one of '/"),
        ("/email/a%5Cb", "one of '/"),
        ("/email/a*", "one of '/"),
        ("/email/a%3Fb", "one of '/"),
        ("/email/a%0Ab", "control character"),
        ("/email/a%C2%85b", "control character"),
        ("/email/a%E2%80%A8b", "control character"),
        ("/email/a;b", "carries a parameter"),
        ("/email/a\\b", "not encoded"),
        ("/email/a b", "not encoded"),
        ("/email/a\xe4", "not encoded"),
        ("/email/a%", "not encoded"),
        ("/email/a%zz", "not encoded"),
        ("/email/a#b", "not encoded"),
        ("/email/%FF", "not UTF-8"),
        ("/email/%C1%9F", "not UTF-8"),
        ("/email/" + "a" * 507, "over 512 bytes"),
        ("/email/" + "%C3%A4" * 254, "over 512 bytes"),
        ("/email/a?x=%", "not encoded"),
        ("/email/a?x=%zz", "not encoded"),
        ("/email/a?x=1;y=2", "';' or '#'"),
        ("/email/a?x#y", "';' or '#'"),
        ("/email/a?x=%FF", "query is not UTF-8"),
    ],
)
def test_malformed_targets_of_ours(rest, message):
    """What begins like ours and is not well-formed is refused, in words that say why."""
    with pytest.raises(InvalidTarget) as refused:
        parse("/_signals/account" + rest, TYPES)
    assert message in refused.value.message


def test_the_longest_id():
    """512 bytes in all are what Elasticsearch takes."""
    call = parse("/_signals/account/email/" + "a" * 506)
    assert len(call.ref.document_id.encode()) == 512


def test_document_ids_are_unambiguous():
    """A tenant's account and a global one never share a document."""
    assert Ref("email", "a").document_id == "email/a"
    assert Ref("email", "a", "t").document_id == "t/email/a"


NAME = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\*?\u2028\u2029"),
    min_size=1,
    max_size=20,
).filter(lambda name: not name.startswith("_") and name not in {".", ".."})


@given(NAME, NAME)
def test_any_name_comes_out_as_it_went_in(type_name, account_id):
    """Names that may be used survive being percent-encoded."""
    target = "/_signals/account/" + quote(type_name, safe="") + "/" + quote(account_id, safe="")
    lower = type_name.lower() if type_name.isascii() else type_name
    assert Ref(lower, account_id) == parse(target).ref


@given(st.text(st.characters(max_codepoint=255), max_size=40), st.booleans())
def test_nothing_but_an_invalid_target_is_raised(text, ours):
    """Any target is decided, whatever it is made of."""
    with contextlib.suppress(InvalidTarget):
        parse(("/_signals/account/" if ours else "/") + text, TYPES)


def disguise(draw, text):
    """Write the target in another way that somebody might read alike."""
    how = draw(st.integers(0, 8))
    at = draw(st.integers(0, len(text) - 1))
    slashes = [m.start() for m in re.finditer("/", text)]
    if not slashes:
        return text
    slash = draw(st.sampled_from(slashes))
    before, after = text[:slash], text[slash + 1 :]
    match how:
        case 0 | 1 | 2:
            encoded = draw(st.sampled_from(["%%%02X", "%%%02x"])) % ord(text[at])
            return text[:at] + encoded + text[at + 1 :]
        case 3:
            return before + draw(st.sampled_from(["//", "/./", "\\", "/\\", "///"])) + after
        case 4:
            return before + draw(st.sampled_from(["/x/../", "/x;y/../", "/a/b/../..//"])) + after
        case 5:
            return before + ";" + draw(st.sampled_from(["", "x", "x=y"])) + "/" + after
        case 6:
            return text.swapcase()
        case 7:
            return draw(st.sampled_from(["http://h", "//h", "x:", "/."])) + text
    return text[:at] + draw(st.sampled_from(["\t", "%20", "%00"])) + text[at:]


@st.composite
def disguised(draw):
    """A target of ours under one to four disguises."""
    text = draw(st.sampled_from(["/_signals/account", "/_signals/account/email/a"]))
    for _ in range(draw(st.integers(1, 4))):
        text = disguise(draw, text)
    return text


@settings(max_examples=150)
@given(disguised())
@example("/_signals/account/x;y/../email/a")
@example("%\t2F_signals/account")
@example("x:%3B/_signals/account")
@example("/;/h/_signals/account")
def test_no_disguise_is_forwarded(target):
    """However it is written over, a target of ours is refused or recognised."""
    with contextlib.suppress(InvalidTarget):
        assert parse(target, TYPES) is not None
