"""What Elasticsearch's ``_has_privileges`` asks, and what it answers, by the source.

The source is named where something follows from it; all paths are below ``x-pack/plugin`` of
https://github.com/elastic/elasticsearch (8.19), in ``core/…/core/security`` unless they begin with
``security``, which is the plugin of that name.

Not played: privileges on indices, and patterns that are regular expressions (``/…/``).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automatons import covers

Named = tuple[str, frozenset[str]]
"""An application, and names of privileges or actions of it."""

Stored = Mapping[tuple[str, str], Sequence[str]]
"""The actions of privileges that are stored, by application and name."""


@dataclass(frozen=True)
class Privileges:
    """Privileges of an application on resources, as a role has them."""

    application: str
    privileges: Sequence[str]
    resources: Sequence[str]


@dataclass(frozen=True)
class Role:
    """What a role permits."""

    cluster: Sequence[str] = ()
    applications: Sequence[Privileges] = ()
    run_as: Sequence[str] = ()


@dataclass(frozen=True)
class Subject:
    """Who was authenticated. An API key has its own roles, limited by those of its owner."""

    name: str
    roles: Sequence[Role]
    limited_by: Sequence[Role] | None = None


class Failed(Exception):
    """An error as Elasticsearch answers it."""

    def __init__(self, status: int, kind: str, reason: str, challenges: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.challenges = challenges
        told: dict[str, Any] = {"type": kind, "reason": reason}
        if challenges:
            told["header"] = {"WWW-Authenticate": list(challenges)}
        self.body = {"error": {"root_cause": [told], **told}, "status": status}


def question_of(username: str, body: bytes) -> Mapping[str, Any]:
    """See authz/RoleDescriptor.parsePrivilegesToCheck and action/user/HasPrivilegesRequest."""
    about = f"failed to parse privileges check [{username}/has_privileges]"
    try:
        question = json.loads(body)
    except ValueError:
        raise Failed(400, "x_content_parse_exception", "Unexpected character") from None
    if not isinstance(question, dict):
        raise Failed(400, "parse_exception", f"{about}. expected an object")
    for name in question.keys() - {"cluster", "index", "application", "applications"}:
        raise Failed(400, "parse_exception", f"{about}. unexpected field [{name}]")
    if not question:
        raise Failed(
            400,
            "parse_exception",
            f"{about}. All privilege fields [cluster,index,applications] are missing",
        )
    cluster = question.get("cluster", [])
    application = question.get("application", question.get("applications", []))
    for each in application:
        # RoleDescriptor.ApplicationResourcePrivileges.Builder.build
        for member, what in (
            ("application", "have an application name"),
            ("privileges", "define at least one privilege"),
            ("resources", "refer to at least one resource"),
        ):
            if not each.get(member):
                reason = f"application privileges must {what}"
                raise Failed(400, "illegal_argument_exception", reason)
        _validate_name(each["application"])
    if not (cluster or application or question.get("index")):
        raise _invalid("must specify at least one privilege")
    return {"cluster": cluster, "application": application}


def _validate_name(name: str) -> None:
    """See ApplicationPrivilege.validateApplicationName."""
    prefix = re.split("[_-]", name, maxsplit=1)[0]
    if "*" in name:
        raise _invalid(f"Application names may not contain '*' (found '{name}')")
    if re.search(r"\s", name):
        raise _invalid(f"Application names may not contain whitespace (found '{name}')")
    if not re.fullmatch("[a-z][A-Za-z0-9]*", prefix):
        raise _invalid(
            f"An application name prefix must match the pattern ^[a-z][A-Za-z0-9]*$ (found '{prefix}')"
        )
    if len(prefix) < 3:
        raise _invalid(
            f"An application name prefix must be at least 3 characters long (found '{prefix}')"
        )


def _invalid(reason: str) -> Failed:
    return Failed(400, "action_request_validation_exception", f"Validation Failed: 1: {reason};")


def checked(subject: Subject, question: Mapping[str, Any], stored: Stored) -> Any:
    """Return the answer to a question; see security/authz/RBACEngine.checkPrivileges."""
    cluster = {
        name: all(_on_cluster(roles, name) for roles in _roles(subject))
        for name in question["cluster"]
    }
    application: dict[str, dict[str, dict[str, bool]]] = {}
    for each in question["application"]:
        of_resources = application.setdefault(each["application"], {})
        for resource in each["resources"]:
            found = of_resources.setdefault(resource, {})
            for privilege in each["privileges"]:
                found[privilege] = all(
                    _on_resource(roles, each["application"], privilege, resource, stored)
                    for roles in _roles(subject)
                )
    flags = [*cluster.values()]
    flags += [it for res in application.values() for told in res.values() for it in told.values()]
    # action/user/HasPrivilegesResponse.toXContent
    return {
        "username": subject.name,
        "has_all_requested": all(flags),
        "cluster": cluster,
        "index": {},
        "application": application,
    }


def _on_resource(
    roles: Sequence[Role], application: str, privilege: str, resource: str, stored: Stored
) -> bool:
    """See authz/permission/ApplicationPermission.grants."""
    granted: dict[Named, set[str]] = {}
    for each in (it for role in roles for it in role.applications):
        key = each.application, frozenset(each.privileges)
        granted.setdefault(key, set()).update(each.resources)
    return any(
        _matches(key, (application, frozenset({privilege})), stored)
        and covers([(resources, ())], [resource])
        for key, resources in granted.items()
    )


def _matches(has: Named, wanted: Named, stored: Stored) -> bool:
    """See ApplicationPermission.PermissionEntry.matchesPrivilege."""
    if has == wanted:
        return True
    if not covers([([has[0]], ())], [wanted[0]]):
        return False
    ours, theirs = _actions(wanted[0], has[1], stored), _actions(*wanted, stored)
    if "*" in ours:
        return True
    return bool(ours) and bool(theirs) and covers([(ours, ())], theirs)


def _actions(application: str, names: Iterable[str], stored: Stored) -> list[str]:
    """See authz/privilege/ApplicationPrivilege.resolve: names are looked up, actions are not."""
    return [
        action
        for name in names
        for action in (
            stored.get((application, name), ())
            if re.fullmatch(r"[a-z][a-zA-Z0-9_.-]*", name)
            else (name,)
        )
    ]


def _roles(subject: Subject) -> list[Sequence[Role]]:
    """See authz/permission/LimitedRole: both have to grant it."""
    return [subject.roles, *([] if subject.limited_by is None else [subject.limited_by])]


# authz/privilege/ClusterPrivilegeResolver: those that matter here, what each allows, less what.
_ALL = ("cluster:*", "indices:admin/template/*", "indices:admin/index_template/*")
_SECURITY = ("cluster:admin/xpack/security/*",)
_NAMED: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "none": ((), ()),
    "all": (_ALL, ()),
    "manage": (_ALL, _SECURITY),
    "manage_security": (_SECURITY, ("cluster:admin/xpack/security/delegate_pki",)),
    "monitor": (
        ("cluster:monitor/*", "indices:admin/template/get", "cluster:admin/component_template/get"),
        (),
    ),
}


def _resolve(name: str) -> tuple[Sequence[str], Sequence[str]]:
    """See ClusterPrivilegeResolver.resolve: an action stands for all that begin as it does."""
    name = name.lower()
    if covers([(_ALL, ())], [name]):
        return [name + "*"], ()
    if name in _NAMED:
        return _NAMED[name]
    raise Failed(
        400,
        "illegal_argument_exception",
        f"unknown cluster privilege [{name}]. a privilege must be either one of the predefined"
        f" cluster privilege names [{','.join(_NAMED)}] or a pattern over one of the available"
        " cluster actions",
    )


def _on_cluster(roles: Sequence[Role], name: str) -> bool:
    """See authz/permission/ClusterPermission.implies."""
    allowed, _ = _resolve(name)
    return covers([_resolve(it) for role in roles for it in role.cluster], allowed)
