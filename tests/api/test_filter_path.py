"""``filter_path`` leaves of an answer what Elasticsearch would leave of it."""

import pytest
from registries import Cluster

from signals_proxy.api.filter_path import _Filter, filtered
from signals_proxy.errors import InvalidParameter

DOCUMENT = {
    "a": {"b": 1, "bc": {"d": [1, 2], "e": None}, "": {"x": 1}},
    "list": [{"a": 1, "b": {"c": 2}}, {"a": 3}, 5, [], [{"a": 4}], {}],
    "a.b": {"c.d": 1, "e": 2},
    "empty": {},
    "none": [],
    "nested": {"empty": {}, "none": [], "only": {"x": 1}},
    "text": "t",
    "back\\slash": {"x": 1},
    "deep": {"deep": {"deep": {"a": 1, "z": 2}}},
}
PATHS = [
    *("a", "a.b", "a.b*", "a.*", "a.**", "*.b", "**.b", "**", "*", "*.*", "*.*.*", "a.bc.d"),
    *("list", "list.a", "list.b.c", "list.**", "list.*", "**.a", "**.**.a", "**.z", "**.deep"),
    *("deep.**.a", "deep.**", "deep.**.deep.**", r"a\.b", r"a\.b.e", r"a\.b.c\.d", r"*\.b", r"a\.*"),
    *("nope", "a.nope", "a.b.c", "empty", "none", "nested", "nested.empty", "nested.none.x"),
    *("nested.only.x", "text", "t*t", "*e*", "a..b", ".a", "a.", ".", "a,text", " a , text ,", ""),
    *("-a", "-a.b", "-a.*", "-**.a", "-*", "-**", "-list", "-list.a", "-list.**.a", "-nested.only.x"),
    *("-nested.*", "-deep.**", "-deep.**.a", "-empty", "-nope", "-", "-a\\.b.e", "a,-a.b", "*,-*.*"),
    *("a.b*,-a.bc.d", "**.a,-list", "list,-list.a", "-a,-text", "-text.x", "-a.b.c", r"back\slash"),
    r"back\slash.x",
]  # fmt: skip


def test_the_node_filters_in_the_same_way(cluster: Cluster):
    """The node filters what it stored itself; our filter gets the same document."""
    assert cluster.ask("PUT", "/{index}", {"mappings": {"dynamic": False}})[0] == 200
    assert cluster.ask("PUT", "/{index}/_create/1", DOCUMENT)[0] == 201
    expected, actual = {}, {}
    for path in PATHS:
        within = ",".join(
            it.replace("-", "-_source.", 1) if it.startswith("-") else f"_source.{it.strip()}"
            for it in path.split(",")
            if it.strip()
        )
        if path.startswith("-"):
            within = f"_source,{within}"
        query = within.replace("\\", "%5C").replace(" ", "")
        status, answer = cluster.ask("GET", f"/{{index}}/_doc/1?filter_path={query}")
        assert status == 200
        expected[path] = answer
        actual[path] = filtered({"_source": DOCUMENT}, within)
    expected[""] = actual[""] = {"_source": DOCUMENT}
    assert actual == expected


@pytest.mark.parametrize(
    ("filter_path", "left"),
    [
        ("", {"took": 1, "hits": {"hits": [{"_id": "a"}]}}),
        (" , ", {"took": 1, "hits": {"hits": [{"_id": "a"}]}}),
        ("hits.hits._id", {"hits": {"hits": [{"_id": "a"}]}}),
        ("-hits", {"took": 1}),
        ("-hits.hits._id", {"took": 1}),
        ("nope", {}),
        ("-*", {}),
    ],
)
def test_an_answer(filter_path, left):
    assert filtered({"took": 1, "hits": {"hits": [{"_id": "a"}]}}, filter_path) == left


@pytest.mark.parametrize("path", ["a" * 2049, "a," * 129])
def test_a_filter_has_limits(path):
    with pytest.raises(InvalidParameter):
        filtered({}, path)


@pytest.mark.parametrize("path", ["hits.a", "**." * 600 + "x", ",".join(["*a*.**.*e*"] * 128)])
def test_a_thousand_hits_take_no_more_thought_than_one(path):
    """What is found out of a name at a place is remembered, and no paths are tried one by one."""
    steps = []
    for count in (1, 1000):
        hits = [{"_source": {f"name{i}": i for i in range(40)}}] * count
        filter_ = _Filter(path.split(","), inclusive=True)
        filter_.of({"hits": hits})
        steps.append(len(filter_._steps))
    assert steps[0] == steps[1] <= 42
