"""What the configuration says about who may do what."""

from pathlib import Path

import pytest
from configured import MINIMAL, Load
from configured import told as all_of

from signals_proxy.authorization import Action, AuthorizationSettings, Grant, User
from signals_proxy.errors import ConfigError
from signals_proxy.secret import Secret

REST = MINIMAL.partition("authorization:")[0]
HASH = "$argon2id$v=19$m=65536,t=2,p=1$" + "a" * 22 + "$" + "b" * 43
ROLES = "  roles: {admin: [{actions: '*', accounts: '*'}]}\n"
USERS = f"  users: {{anna: {{password_hash: '{HASH}', roles: admin}}}}\n"


def rights(backend: str, *lines: str) -> str:
    """A configuration with these lines of ``authorization``."""
    return "".join([REST, "authorization:\n", f"  backend: {backend}\n", *lines])


def test_everything_set(load: Load, tmp_path: Path) -> None:
    """Roles and users arrive as they are written, single values as lists of one."""
    (tmp_path / "hash").touch(0o600)
    (tmp_path / "hash").write_text(HASH + "\n")
    settings = load(
        rights(
            "static",
            "  cache: 500ms\n",
            "  roles:\n",
            "    admin: [{actions: '*', accounts: '*'}]\n",
            "    on.call:\n",
            "      - {actions: [test, send], accounts: [email/ops, 'slack/*']}\n",
            "      - {actions: search, accounts: [team-a/*]}\n",
            "    nothing: []\n",
            "  users:\n",
            f"    anna: {{password_hash: '{HASH}', roles: [admin, on.call]}}\n",
            "    Bert Beispiel: {password_hash_file: hash, roles: nothing}\n",
        )
    ).authorization
    assert settings == AuthorizationSettings(
        backend="static",
        cache_s=0.5,
        roles={
            "admin": (Grant(frozenset(Action), frozenset({"*"})),),
            "on.call": (
                Grant(frozenset({Action.TEST, Action.SEND}), frozenset({"email/ops", "slack/*"})),
                Grant(frozenset({Action.SEARCH}), frozenset({"team-a/*"})),
            ),
            "nothing": (),
        },
        users={
            "anna": User(Secret(HASH), ("admin", "on.call")),
            "Bert Beispiel": User(Secret(HASH), ("nothing",)),
        },
    )


@pytest.mark.parametrize(
    ("said", "cache_s"), [("1ms", 0.001), ("9999ms", 9.999), ("1s", 1), ("60s", 60), ("1m", 60)]
)
def test_cache(load: Load, said: str, cache_s: float) -> None:
    """A decision stands for a minute at most."""
    assert load(rights("elasticsearch", f"  cache: {said}\n")).authorization.cache_s == cache_s


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (rights("opensearch"), "authorization.roles: is missing, without which opensearch lets"),
        (rights("static", ROLES), "authorization.users: is missing, without which static lets"),
        (rights("static", USERS), "authorization.users.anna.roles: there is no role 'admin'"),
        (rights("elasticsearch", ROLES), "authorization.roles: has no effect with"),
        (
            rights("none", ROLES),
            "authorization.roles: has no effect with authorization.backend none",
        ),
        (rights("opensearch", ROLES, USERS), "authorization.users: has no effect with"),
        (
            rights("elasticsearch", "  hostnames: [proxy.test]\n"),
            "authorization.hostnames: has no effect with authorization.backend elasticsearch",
        ),
        (
            rights("static", ROLES, USERS.replace("anna", "'an:na'")),
            "authorization.users.an:na: is no name that anybody could log in with",
        ),
        (
            rights("static", ROLES, USERS.replace("anna", "''")),
            "authorization.users.: is no name that anybody could log in with",
        ),
        (
            rights("static", ROLES, USERS.replace(HASH, "letmein")),
            "authorization.users.anna.password_hash: must be what `signals-proxy hash-password`",
        ),
        (
            rights("static", ROLES, USERS.replace("m=65536", "m=6553600")),
            "authorization.users.anna.password_hash: must be what `signals-proxy hash-password`",
        ),
        (
            rights("static", ROLES, "  users: {anna: {roles: admin}}\n"),
            "authorization.users.anna: must be a group with password_hash and roles",
        ),
        (
            rights("static", ROLES, "  users: {anna: x}\n"),
            "authorization.users.anna: must be a group with password_hash and roles",
        ),
        (
            rights("opensearch", ROLES.replace("actions", "action")),
            "authorization.roles.admin.0.action: unknown setting",
        ),
        (
            rights("opensearch", ROLES.replace("actions: '*'", "actions: write")),
            "authorization.roles.admin.0.actions.0: must be * or get or put or delete or search",
        ),
        (
            rights("opensearch", ROLES.replace("accounts: '*'", "accounts: email")),
            "authorization.roles.admin.0.accounts.0: must be a pattern such as '*', 'email/*' or",
        ),
        (
            rights("opensearch", ROLES.replace("accounts: '*'", "accounts: 'email/?'")),
            "authorization.roles.admin.0.accounts.0: must be a pattern such as",
        ),
        (
            rights("opensearch", ROLES.replace("accounts: '*'", "accounts: []")),
            "authorization.roles.admin.0.accounts: must be patterns such as",
        ),
        (
            rights("opensearch", "  roles: {admin: all}\n"),
            "authorization.roles.admin.0: must be a group with actions and accounts",
        ),
        (
            rights("opensearch", "  roles: {admin: }\n"),
            "authorization.roles.admin: must be a list of grants, each with actions and accounts",
        ),
        (
            rights("opensearch", "  roles: {admin: [all]}\n"),
            "authorization.roles.admin.0: must be a group with actions and accounts",
        ),
        (
            rights("opensearch", ROLES, "  cache: 61s\n"),
            "authorization.cache: must be a duration of",
        ),
        (
            rights("opensearch", ROLES, "  cache: 2m\n"),
            "authorization.cache: must be a duration of",
        ),
        (
            rights("opensearch", ROLES, "  cache: 0s\n"),
            "authorization.cache: must be a duration such as",
        ),
    ],
)
def test_one_mistake(load: Load, text: str, told: str) -> None:
    """Each is told with its place."""
    assert any(f": {told}" in each for each in all_of(load, text))


def test_a_hash_is_a_secret(load: Load) -> None:
    """A file that others may read may not hold one."""
    with pytest.raises(ConfigError) as raised:
        load(rights("static", ROLES, USERS), mode=0o644)
    assert raised.value.message == "a secret in a file that others may use"
    assert raised.value.path == "authorization.users.anna.password_hash"
