"""What holds for the core whatever it is given: targets, what becomes of secrets, who sees what."""

import contextlib
from urllib.parse import quote

import pytest
from accounts import TYPES, fullest, sample, validate
from hypothesis import event, given, settings
from hypothesis import strategies as st
from queries import QUERIES

from signals_proxy.account import Ref, merge
from signals_proxy.account.query import searchable
from signals_proxy.account.ref import MAX_ID_BYTES, Endpoint, parse
from signals_proxy.account.search import PARAMETERS
from signals_proxy.account.search import parse as parse_search
from signals_proxy.errors import InvalidAccount, InvalidBody, InvalidParameter, InvalidTarget
from signals_proxy.secret import REDACTED

PREFIX = "/_signals/account"
FIELDS = searchable(TYPES)


# --- targets -------------------------------------------------------------------------------------

TEXT = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\*?\u2028\u2029")
NAMES = st.text(TEXT | st.sampled_from(" .%+;~"), min_size=1, max_size=12).filter(
    lambda it: it[0] != "_" and it.strip(".")
)
REFS = st.builds(
    Ref,
    st.sampled_from(sorted(TYPES)),
    NAMES,
    st.none() | NAMES.filter(lambda name: name.lower() not in TYPES),
)
GIVEN = st.lists(st.tuples(st.text(TEXT, min_size=1), st.text(TEXT)), max_size=3)
VERBS = st.sampled_from([Endpoint.ACCOUNT, Endpoint.TEST, Endpoint.SEND, Endpoint.STATUS])


@settings(max_examples=100)
@given(REFS, VERBS, GIVEN, st.sampled_from(["", "_main"]))
def test_a_target_is_read_as_it_was_written(ref, endpoint, parameters, main):
    """Tenant, type, id, verb and parameters; and so is the id of the account's document."""
    names = [ref.tenant or main, ref.type, ref.id]
    names += [] if endpoint is Endpoint.ACCOUNT else [endpoint.value]
    path = "/".join(quote(name, safe="") for name in names if name)
    query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters
    )
    call = parse(f"{PREFIX}/{path}?{query}", TYPES)
    assert (call.ref, call.endpoint, call.parameters) == (ref, endpoint, tuple(parameters))
    assert Ref.of_document(ref.document_id) == ref


@given(NAMES.filter(lambda name: name.lower() not in TYPES))
def test_a_tenant_is_read_as_it_was_written(tenant):
    call = parse(f"{PREFIX}/{quote(tenant, safe='')}/_search", TYPES)
    assert (call.endpoint, call.tenant, call.ref) == (Endpoint.SEARCH, tenant, None)


@pytest.mark.parametrize("name", ["a", "ä"])
def test_no_tenant_is_longer_than_an_id_may_be(name):
    """Not even where no account is named: it could have none."""
    longest = name * (MAX_ID_BYTES // len(name.encode()))
    assert parse(f"{PREFIX}/{quote(longest)}/_search").tenant == longest
    with pytest.raises(InvalidTarget, match="512 bytes"):
        parse(f"{PREFIX}/{quote(longest)}a/_search")


# --- secrets -------------------------------------------------------------------------------------

FULLEST = [(name, body) for name, its in TYPES.items() for body in fullest(its)]


@given(st.sampled_from(FULLEST), st.data())
def test_no_secret_is_invented_lost_or_exchanged(full, data):
    """Each that a PUT would store is the one that was sent, or the stored one if none was said."""
    name, stored = full
    account_type = TYPES[name]
    before = validate(stored, type_name=name)
    body = {key: value for key, value in stored.items() if key in account_type.public}
    for key in sorted(account_type.secrets):
        other = sample(account_type.schema["properties"][key], 1)
        said = data.draw(st.sampled_from(["nothing", REDACTED, None, other]))
        body |= {} if said == "nothing" else {key: said}
    for key in data.draw(st.lists(st.sampled_from(sorted(account_type.public)), max_size=2)):
        body[key] = sample(account_type.schema["properties"][key], 1)
    draft = merge(body, before, account_type, before.ref)
    secrets = {key: value.reveal() for key, value in {**draft.kept, **draft.sent}.items()}
    assert not {*draft.kept} & {*draft.sent}
    assert not draft.attributes.keys() & account_type.secrets
    for key in account_type.secrets:
        said = body.get(key, REDACTED)
        was = before.secrets[key].reveal() if key in before.secrets else None
        assert secrets.get(key) == (was if said == REDACTED else said)
    with contextlib.suppress(InvalidAccount):
        account = account_type.validate(draft)
        event("it is stored")
        assert {key: value.reveal() for key, value in account.secrets.items()} == secrets
        assert not account.public.keys() & account_type.secrets


# --- searches ------------------------------------------------------------------------------------

VALUES = st.sampled_from(["", "true", "1m", "0", "asc", "_tenant", "_tenant:desc", "host:a", "*"])


@given(
    st.sampled_from(QUERIES),
    st.dictionaries(st.sampled_from(sorted(PARAMETERS)), VALUES, max_size=3),
    st.none() | NAMES,
)
def test_every_search_is_within_what_its_tenant_sees(query, parameters, tenant):
    """Nothing that is asked for changes the filter, and the query is but one more condition."""
    unasked = parse_search({}, {}, tenant, FIELDS).request()["query"]["bool"]["filter"]
    with contextlib.suppress(InvalidBody, InvalidParameter):
        search = parse_search({"query": query}, parameters, tenant, FIELDS)
        event("it is a search")
        asked = search.request()["query"]
        assert asked.keys() == {"bool"}
        assert asked["bool"].keys() == {"must", "filter"}
        assert asked["bool"]["filter"] == unasked
        assert asked["bool"]["must"] == [search.query]
    assert ("_tenant", tenant) in terms(unasked) or tenant is None


def terms(node):
    """Return each field and value of the ``term`` queries within."""
    if isinstance(node, list):
        return [it for inner in node for it in terms(inner)]
    if not isinstance(node, dict):
        return []
    own = [(field, its["value"]) for field, its in node.get("term", {}).items()]
    return own + [it for inner in node.values() for it in terms(inner)]
