"""The core: accounts as plain values and functions, without clock, socket or waiting.

::

    ref            raw request target → call, nothing or a look-alike
    body           bytes → strict JSON
    schema         schema files → account types, index mapping
    account_type   draft → account, with every error at once        (values, formats: one by one)
    document       stored document, merge with a body, redaction
    keyring        key file → keys
    sealing        account ⇄ sealed account
    file           account ⇄ sealed text of an account file
    search         body and parameters → what the cluster is asked  (query, query_string, sort)
    scroll         search ⇄ scroll id
    page           the cluster's answer → ours                      (source_filter)

The way of a PUT: ``body.parse``, ``file.open_text`` of its ``$sealed``, ``sealing.try_open`` of the
stored one, ``document.merge``, ``AccountType.validate``, ``sealing.seal``. Of a GET:
``sealing.verify``, ``document.redact``.
"""

from signals_proxy.account.account_type import Account, AccountType, Draft
from signals_proxy.account.body import MAX_BODY, Json
from signals_proxy.account.document import (
    SealedAccount,
    Unopened,
    changes_nothing,
    merge,
    redact,
)
from signals_proxy.account.keyring import Key, Keyring
from signals_proxy.account.ref import AccountCall, Endpoint, Ref
from signals_proxy.account.schema import index_mapping, named
from signals_proxy.account.sealing import (
    Integrity,
    open_sealed,
    reseal,
    seal,
    try_open,
    verify,
)

__all__ = [
    "MAX_BODY",
    "Account",
    "AccountCall",
    "AccountType",
    "Draft",
    "Endpoint",
    "Integrity",
    "Json",
    "Key",
    "Keyring",
    "Ref",
    "SealedAccount",
    "Unopened",
    "changes_nothing",
    "index_mapping",
    "merge",
    "named",
    "open_sealed",
    "redact",
    "reseal",
    "seal",
    "try_open",
    "verify",
]
