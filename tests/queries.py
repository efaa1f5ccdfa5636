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
                "fuzziness": "AUTO",
                "prefix_length": 1,
                "max_expansions": 10,
                "fuzzy_transpositions": True,
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
    {"match_phrase_prefix": {"host": "smtp.exam"}},
    {
        "match_phrase_prefix": {
            "host": {
                "query": "smtp.ex",
                "slop": 1,
                "max_expansions": 5,
                "zero_terms_query": "none",
                **_BOTH,
            }
        }
    },
    {"match_bool_prefix": {"host": "smtp"}},
    {
        "match_bool_prefix": {
            "host": {
                "query": "smtp.ex",
                "operator": "and",
                "minimum_should_match": 1,
                "fuzziness": 1,
                "prefix_length": 0,
                "max_expansions": 3,
                "fuzzy_transpositions": False,
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
    {"fuzzy": {"_name": "defaul"}},
    {
        "fuzzy": {
            "_name": {
                "value": "defualt",
                "fuzziness": "AUTO:2,4",
                "prefix_length": 1,
                "max_expansions": 5,
                "transpositions": True,
                **_BOTH,
            }
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
    {
        "multi_match": {
            "query": "defualt",
            "fields": ["_name", "host"],
            "fuzziness": "AUTO",
            "prefix_length": 1,
            "max_expansions": 3,
            "fuzzy_transpositions": True,
        }
    },
    {"multi_match": {"query": "smtp", "type": "phrase_prefix"}},
    {"multi_match": {"query": "smtp.exa", "type": "bool_prefix", "fields": ["host"]}},
    {"multi_match": {"query": "a@b.test", "type": "phrase", "fields": ["default_*"]}},
    {"multi_match": {"query": "smtp", "fields": ["h*"]}},
    {"multi_match": {"query": "25", "fields": ["p*", "h*"]}},
    {"multi_match": {"query": "smtp", "type": "phrase_prefix", "fields": ["*"]}},
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
            "fuzzy_max_expansions": 5,
            "fuzzy_prefix_length": 1,
            "fuzzy_transpositions": False,
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
            "fuzziness": "AUTO",
            "fuzzy_max_expansions": 5,
            "fuzzy_prefix_length": 1,
            "fuzzy_transpositions": False,
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
    {"query_string": {"query": "host:/smtp.*/ OR _name:d?fault~1^2 (type:slack)"}},
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
    {"query_string": {"query": "defalt~"}},
]

NAMED = [
    *(
        '{"NAME": {"FIELD": "a"}}'.replace("NAME", name)
        for name in (
            *("match", "match_phrase", "match_phrase_prefix", "match_bool_prefix", "term"),
            *("prefix", "wildcard", "regexp", "fuzzy"),
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
