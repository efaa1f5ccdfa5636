"""Queries that a search for accounts takes: each type, in its short form and with all parameters."""

_BOTH = {"boost": 2, "_name": "n"}

QUERIES = [
    {"match_all": {}},
    {"match_all": {"boost": 1.5}},
    {"match_none": {}},
    {"match": {"type": "EMAIL"}},
    {
        "match": {
            "type": {
                "query": "email slack",
                "operator": "OR",
                "minimum_should_match": "1",
                "lenient": True,
                "zero_terms_query": "all",
                "auto_generate_synonyms_phrase_query": False,
                **_BOTH,
            }
        }
    },
    {"match": {"_id": "email/default"}},
    {"match": {"port": 465}},
    {"match": {"enable_tls": True}},
    {"match": {"_name": "default"}},
    {"match_phrase": {"host": "smtp.example.com"}},
    {
        "match_phrase": {
            "host": {"query": "smtp.example.com", "slop": 2, "zero_terms_query": "none", **_BOTH}
        }
    },
    {"match_bool_prefix": {"host": "smtp"}},
    {
        "match_bool_prefix": {
            "host": {
                "query": "smtp.ex",
                "operator": "and",
                "minimum_should_match": 1,
                **_BOTH,
            }
        }
    },
    {"term": {"_name": "default"}},
    {"term": {"type.keyword": {"value": "EMAIL", "case_insensitive": True, **_BOTH}}},
    {"term": {"_id": "email/default"}},
    {"term": {"_tenant": "t2"}},
    {"term": {"_tenant": "t1"}},
    {"term": {"port": 465}},
    {"term": {"enable_tls": "true"}},
    {"terms": {"_name": ["default", "b"]}},
    {"terms": {"_id": ["email/default", "t2/email/c"], "boost": 2, "_name": "x"}},
    {"terms": {"port": [25, 465]}},
    {"range": {"port": {"gte": 26, "lt": 1000, **_BOTH}}},
    {
        "range": {
            "expires_at": {
                "gt": "now",
                "lte": "01/02/2030",
                "format": "dd/MM/yyyy||strict_date",
                "time_zone": "+01:00",
            }
        }
    },
    {"range": {"_name": {"gte": "a"}}},
    {"range": {"expires_at": {"gte": "now-1d/d"}}},
    {"prefix": {"_name": "d"}},
    {"prefix": {"type.keyword": {"value": "E", "case_insensitive": True, **_BOTH}}},
    {"wildcard": {"_name": "d*t"}},
    {"wildcard": {"host.keyword": {"value": "*EXAMPLE*", "case_insensitive": True, **_BOTH}}},
    {"regexp": {"_name": "d.*"}},
    {
        "regexp": {
            "type.keyword": {"value": "E.*", "flags": "ALL", "case_insensitive": True, **_BOTH}
        }
    },
    {"exists": {"field": "host"}},
    {"exists": {"field": "port", **_BOTH}},
    {"exists": {"field": "default_to"}},
    {"ids": {"values": ["email/default", "t2/email/c"]}},
    {"ids": {"values": "email/default", **_BOTH}},
    {"constant_score": {"filter": {"term": {"_name": "b"}}, **_BOTH}},
    {
        "dis_max": {
            "queries": [{"match": {"type": "email"}}, {"match": {"host": "mail.t1.test"}}],
            "tie_breaker": 0.3,
            **_BOTH,
        }
    },
    {
        "boosting": {
            "positive": {"match": {"type": "email"}},
            "negative": {"term": {"port": 25}},
            "negative_boost": 0.2,
            **_BOTH,
        }
    },
    {
        "bool": {
            "must": {"match": {"type": "email"}},
            "must_not": [{"term": {"port": 25}}],
            "should": [{"match": {"host": "smtp.example.com"}}],
            "filter": {"exists": {"field": "host"}},
            "minimum_should_match": 1,
            **_BOTH,
        }
    },
    {"bool": {}},
    {"bool": {"must": [{"match": {"type": "email"}}]}},
    {"bool": {"filter": [{"match": {"type": "email"}}]}},
    {"multi_match": {"query": "default"}},
    {"multi_match": {"query": "465"}},
    {"multi_match": {"query": "smtp.example.com", "fields": ["host^3", "_name"]}},
    {
        "multi_match": {
            "query": "email default",
            "fields": ["type", "_name"],
            "type": "cross_fields",
            "operator": "and",
            "minimum_should_match": 1,
            "tie_breaker": 0.1,
            "lenient": True,
            "zero_terms_query": "none",
            "auto_generate_synonyms_phrase_query": True,
            "slop": 1,
            **_BOTH,
        }
    },
    {"multi_match": {"query": "smtp.exa", "type": "bool_prefix", "fields": ["host"]}},
    {"multi_match": {"query": "a@b.test", "type": "phrase", "fields": ["default_*"]}},
    {"multi_match": {"query": "smtp", "fields": ["h*"]}},
    {"multi_match": {"query": "25", "fields": ["p*", "h*"]}},
    {"multi_match": {"query": "smtp", "type": "bool_prefix"}},
    {"multi_match": {"query": "smtp", "type": "most_fields"}},
    {"multi_match": {"query": "email", "type": "cross_fields"}},
    {"simple_query_string": {"query": "email +default"}},
    {
        "simple_query_string": {
            "query": '"smtp.example.com" | mail*',
            "fields": ["host"],
            "default_operator": "AND",
            "flags": "OR|PHRASE|PREFIX",
            "lenient": True,
            "minimum_should_match": "1",
            "analyze_wildcard": True,
            "auto_generate_synonyms_phrase_query": True,
            **_BOTH,
        }
    },
    {"simple_query_string": {"query": "def* a@b.test"}},
    {"query_string": {"query": "type:email AND _name:default"}},
    {"query_string": {"query": "email"}},
    {"query_string": {"query": "465"}},
    {"query_string": {"query": "default AND port:[1 TO 500}"}},
    {
        "query_string": {
            "query": "smtp* OR t1",
            "fields": ["host", "_name^2"],
            "default_operator": "and",
            "allow_leading_wildcard": False,
            "analyze_wildcard": True,
            "lenient": True,
            "minimum_should_match": "1",
            "phrase_slop": 1,
            "tie_breaker": 0.5,
            "type": "best_fields",
            "auto_generate_synonyms_phrase_query": False,
            **_BOTH,
        }
    },
    {"query_string": {"query": "_exists_:host -port:25"}},
    {"query_string": {"query": "*:*"}},
    {"query_string": {"query": "*"}},
    {"query_string": {"query": "host:/smtp.*/ OR _name:d?fault^2 (type:slack)"}},
    {"query_string": {"query": '_id:"email/default"'}},
    {"query_string": {"query": "smtp.example.com", "default_field": "host"}},
    {"query_string": {"query": "default", "default_field": "*"}},
    {"query_string": {"query": "abcd"}},
    {"simple_query_string": {"query": "abcd"}},
    {"multi_match": {"query": "abcd"}},
    {"query_string": {"query": "ho\\u0073t:*"}},
    {"query_string": {"query": "def*"}},
    {"query_string": {"query": '"default"'}},
    {"query_string": {"query": "/def.*/"}},
    {"query_string": {"query": "[a TO z]"}},
    {"query_string": {"query": '"smtp com"~3'}},
]

NAMED = [
    *(
        '{"NAME": {"FIELD": "a"}}'.replace("NAME", name)
        for name in (
            *("match", "match_phrase", "match_phrase_prefix", "match_bool_prefix", "term"),
            *("prefix", "wildcard", "regexp"),
        )
    ),
    '{"range": {"FIELD": {"gte": 1}}}',
    '{"terms": {"FIELD": ["a"]}}',
    '{"exists": {"field": "FIELD"}}',
    *(
        '{"NAME": {"query": "a", "fields": ["FIELD^2"]}}'.replace("NAME", name)
        for name in ("multi_match", "query_string", "simple_query_string")
    ),
    '{"query_string": {"query": "a", "default_field": "FIELD"}}',
    '{"query_string": {"query": "FIELD:a"}}',
    '{"query_string": {"query": "_exists_:FIELD"}}',
]
"""JSON of queries that name a field."""

_LOOKED_UP = {"index": "INDEX", "id": "1"}
_TERM = {"span_term": {"host": "a"}}
_SHAPE = {"indexed_shape": {**_LOOKED_UP, "path": "shape"}}
_SCRIPT = {"source": "doc['host.keyword'].size() + 1"}
_BOX = {"top_left": {"lat": 1, "lon": 0}, "bottom_right": {"lat": 0, "lon": 1}}

OTHER_QUERIES = {
    # What looks elsewhere: other documents, stored queries, shapes, models.
    "geo_shape": {"host": _SHAPE},
    "shape": {"host": _SHAPE},
    "xy_shape": {"host": _SHAPE},
    "geo_polygon": {"host": {"points": [[0, 0], [0, 1], [1, 1]]}},
    "geo_grid": {"host": {"geotile": "6/32/22"}},
    "geo_bounding_box": {"host": _BOX},
    "geo_distance": {"distance": "1km", "host": {"lat": 1, "lon": 1}},
    "more_like_this": {
        "fields": ["host.keyword"],
        "like": [{"_index": "INDEX", "_id": "1"}],
        "min_term_freq": 1,
        "min_doc_freq": 1,
    },
    "percolate": {"field": "host", **_LOOKED_UP},
    "pinned": {"docs": [{"_index": "INDEX", "_id": "1"}], "organic": {"match_all": {}}},
    "rule": {"ruleset_ids": ["r"], "match_criteria": {}, "organic": {"match_all": {}}},
    "rule_query": {"ruleset_ids": ["r"], "match_criteria": {}, "organic": {"match_all": {}}},
    "semantic": {"field": "host", "query": "a"},
    "sparse_vector": {"field": "host", "inference_id": "i", "query": "a"},
    "text_expansion": {"host": {"model_id": "m", "model_text": "a"}},
    "weighted_tokens": {"host": {"tokens": {"a": 1}}},
    "knn": {"field": "host", "query_vector": [1], "k": 1, "num_candidates": 1},
    "exact_knn": {"field": "host", "query": [1]},
    "neural": {"host": {"query_text": "a", "model_id": "m", "k": 1}},
    "neural_sparse": {"host": {"query_text": "a", "model_id": "m"}},
    "hybrid": {"queries": [{"match_all": {}}]},
    "template": {"match_all": {}},
    # Scripts.
    "script": {"script": _SCRIPT},
    "script_score": {"query": {"match_all": {}}, "script": _SCRIPT},
    "function_score": {"query": {"match_all": {}}, "script_score": {"script": _SCRIPT}},
    "terms_set": {"host": {"terms": ["a"], "minimum_should_match_script": _SCRIPT}},
    # Joins.
    "nested": {"path": "host", "query": {"match_all": {}}},
    "has_child": {"type": "a", "query": {"match_all": {}}},
    "has_parent": {"parent_type": "a", "query": {"match_all": {}}},
    "parent_id": {"type": "a", "id": "1"},
    # What finds only some of the words that fit, of those of all tenants.
    "fuzzy": {"host": "a"},
    "match_phrase_prefix": {"host": "a"},
    # Others in disguise: this one is {"match_all": {}}.
    "wrapper": {"query": "eyJtYXRjaF9hbGwiOiB7fX0="},
    "span_multi": {"match": {"prefix": {"host": {"value": "a"}}}},
    "span_term": {"host": "a"},
    "span_first": {"match": _TERM, "end": 3},
    "span_near": {"clauses": [_TERM, _TERM], "slop": 1, "in_order": False},
    "span_gap": {"host": 1},
    "span_not": {"include": _TERM, "exclude": _TERM},
    "span_or": {"clauses": [_TERM]},
    "span_containing": {"big": _TERM, "little": _TERM},
    "span_within": {"big": _TERM, "little": _TERM},
    "span_field_masking": {"query": _TERM, "field": "host"},
    "field_masking_span": {"query": _TERM, "field": "host"},
    "intervals": {"host": {"match": {"query": "a"}}},
    "combined_fields": {"query": "a", "fields": ["host"]},
    "distance_feature": {"field": "expires_at", "pivot": "7d", "origin": "now"},
    "rank_feature": {"field": "port"},
    "common": {"host": {"query": "a"}},
    "type": {"value": "_doc"},
    "": {},
}
"""Every other query that Elasticsearch 8.19 to 9.5 and OpenSearch 2.19 document, or had once.

``INDEX`` stands for the name of an index that has nothing to do with accounts.
"""

LOOK_UPS = [
    {"terms": {"host.keyword": {**_LOOKED_UP, "path": "host"}}},
    {"terms": {"host.keyword": {**_LOOKED_UP, "path": "host", "routing": "r"}}},
    {"terms": {"host.keyword": {"index": "INDEX", "path": "host", "query": {"match_all": {}}}}},
    {"terms": {"host.keyword": {**_LOOKED_UP, "path": "host", "store": True}}},
    {"bool": {"filter": {"terms": {"host.keyword": {**_LOOKED_UP, "path": "host"}}}}},
    *({name: given} for name, given in OTHER_QUERIES.items()),
    *({"constant_score": {"filter": {name: given}}} for name, given in OTHER_QUERIES.items()),
    *({"boosting": {"positive": {"match_all": {}}, "negative": {name: given}, "negative_boost": 1}}
      for name, given in OTHER_QUERIES.items()),
]  # fmt: skip
"""Queries of the allow-list and others that a search for accounts must not answer."""
