"""What a caller may see is what fits its patterns, whether read or asked of the cluster."""

import pytest
from accounts import TYPES
from hypothesis import example, given
from hypothesis import strategies as st

from signals_proxy.account import glob
from signals_proxy.account.ref import Ref
from signals_proxy.account.visible import Visible

NAMES = st.text("aeilmst?", min_size=1, max_size=6)
TYPE_NAMES = sorted(TYPES)
REFS = st.builds(Ref, st.sampled_from(TYPE_NAMES), NAMES, st.none() | NAMES)
TENANTS = st.none() | NAMES
PIECES = st.sampled_from(["*", "/", "a", "email", "slack", "jira", "te", "s", "?", "team"])
PATTERNS = st.lists(PIECES, min_size=1, max_size=6).map("".join)


def found(query, ref):
    """Tell whether Elasticsearch would find the account, by the few queries that are used."""
    match query:
        case {"bool": {"filter": parts}}:
            return all(found(part, ref) for part in parts)
        case {"bool": {"should": parts, "minimum_should_match": 1}}:
            return any(found(part, ref) for part in parts)
        case {"bool": {"must_not": [{"exists": {"field": "_tenant"}}]}}:
            return ref.tenant is None
        case {"terms": {"_tenant": [*values]}}:
            return ref.tenant in values
        case {"terms": {"type.keyword": [*values]}}:
            return ref.type in values
        case {"terms": {"_name": [*values]}}:
            return ref.id in values
        case {"wildcard": {"_name": {"value": str(value)}}}:
            assert "\\\\" not in value
            return glob.fits(value.replace("\\?", "?"), ref.id)
    raise AssertionError(query)


@given(st.frozensets(PATTERNS, min_size=1, max_size=4), REFS, TENANTS)
@example(frozenset({"email/*"}), Ref("email", "a", "t"), "t")
@example(frozenset({"*/a"}), Ref("email", "a", "t"), "t")
@example(frozenset({"t/*"}), Ref("email", "a", "t"), "t")
@example(frozenset({"*l/*a*"}), Ref("email", "ta"), None)
def test_the_query_finds_what_may_be_seen(patterns, ref, tenant):
    """Of the accounts within a search's reach it finds those, and those only, that may be seen."""
    visible = Visible(patterns)
    query = visible.query(tenant, TYPE_NAMES)
    reached = ref.tenant is None or ref.tenant == tenant
    assert (query is not None and found(query, ref)) == (reached and visible.includes(ref))


@given(PATTERNS, NAMES, NAMES)
def test_what_may_follow(pattern, beginning, rest):
    assert any(glob.fits(it, rest) for it in glob.rests(pattern, beginning)) == glob.fits(
        pattern, beginning + rest
    )


@pytest.mark.parametrize(
    ("patterns", "tenant"),
    [
        ((), None),
        ((), "ops"),
        (("ops/*",), None),
        (("ops/*",), "dev"),
        (("email",), None),
        (("email/",), None),
        (("Email/*",), None),
        (("ops/email/a",), None),
        (("ops/emails/a",), "ops"),
    ],
)
def test_there_is_nothing_to_be_seen(patterns, tenant):
    """Where no account can be there is no query: the caller has no right to search at all."""
    assert Visible(frozenset(patterns)).query(tenant, TYPE_NAMES) is None


@pytest.mark.parametrize("pattern", ["*", "*/*", "**", "*a*/*"])
def test_many_stars(pattern):
    """A pattern of stars alone stays small, however long what is before it."""
    rests = glob.rests(pattern * 40, "team-a/slack/")
    assert len(rests) <= len(pattern * 40)


def test_every_name_of_a_type():
    """Whoever may see every account of a type is asked for no name, whatever else is granted."""
    patterns = frozenset({"email/*", "email/a", "email/b*"})
    assert Visible(patterns).query(None, TYPE_NAMES) == {
        "bool": {
            "should": [
                {
                    "bool": {
                        "filter": [
                            {"bool": {"must_not": [{"exists": {"field": "_tenant"}}]}},
                            {"terms": {"type.keyword": ["email"]}},
                        ]
                    }
                }
            ],
            "minimum_should_match": 1,
        }
    }


def test_names_and_patterns_of_names():
    """Names are looked up in one go, patterns one by one, with what is special escaped."""
    query = Visible(frozenset({"email/b", "email/a", "email/x?*"})).query("ops", TYPE_NAMES)
    assert query["bool"]["should"][0]["bool"]["filter"][2] == {
        "bool": {
            "should": [
                {"terms": {"_name": ["a", "b"]}},
                {"wildcard": {"_name": {"value": "x\\?*"}}},
            ],
            "minimum_should_match": 1,
        }
    }
