"""How the mistakes of a configuration file are told."""

import re
from pathlib import Path

import pytest
from configured import MINIMAL, Load, only, told

from signals_proxy import config
from signals_proxy.config import InvalidSettings
from signals_proxy.errors import ConfigError


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (
                MINIMAL + "limits:\n  heat_size: 1kb\n",
                "8: limits.heat_size: unknown setting | did you mean 'head_size'?",
            ),
            (
                MINIMAL + "hosts: [a]\n",
                "7: hosts: unknown setting | did you mean 'upstream.hosts'?",
            ),
            (
                MINIMAL + "health: {zzz: 1}\n",
                "7: health.zzz: unknown setting | the settings at this place are: listen",
            ),
            (
                MINIMAL + "registry: {credentials: {username: u, passwrod: hunter2}}\n",
                "7: registry.credentials.passwrod: unknown setting | did you mean 'password'?",
            ),
            (
                MINIMAL + "registry: {credentials: {username: u}}\n",
                (
                    "7: registry.credentials: must be one of: username with password, api_key,"
                    " bearer_token, client_certificate with client_key | "
                ),
            ),
            (
                MINIMAL + "registry: {credentials: {username: u, api_key: hunter2}}\n",
                (
                    "7: registry.credentials: must be one of: username with password, api_key,"
                    " bearer_token, client_certificate with client_key | "
                ),
            ),
            (
                MINIMAL + "registry:\n  credentials:\n    username: u\n    password: 12345\n",
                "10: registry.credentials.password: must be text; put it in quotes | ",
            ),
            (
                MINIMAL + "registry: {credentials: {username: 'a:b', password: hunter2}}\n",
                (
                    "7: registry.credentials.username: must be text in UTF-8 without ':';"
                    " put it in quotes | "
                ),
            ),
            (
                MINIMAL + 'registry: {credentials: {username: u, password: "hunter2\\uD800"}}\n',
                "7: registry.credentials.password: must be text in UTF-8; put it in quotes | ",
            ),
            (
                MINIMAL + 'delivery: {slack_api: "https://slack.com/api/\\n"}\n',
                (
                    "7: delivery.slack_api: must be a URL that ends with '/', such as"
                    " https://slack.com/api/ | "
                ),
            ),
            (
                MINIMAL + 'registry: {credentials: {api_key: "hunter2\\n"}}\n',
                (
                    "7: registry.credentials.api_key: must be visible ASCII characters only,"
                    " without blanks and line ends | "
                ),
            ),
            (
                MINIMAL + "registry: {credentials: {bearer_token: hunter2 é}}\n",
                (
                    "7: registry.credentials.bearer_token: must be visible ASCII characters only,"
                    " without blanks and line ends | "
                ),
            ),
            (
                MINIMAL.replace("none", "nine"),
                "6: authorization.backend: must be elasticsearch or opensearch or static or none | ",
            ),
            (
                MINIMAL.replace("keyring:\n  file: keyring\n", ""),
                "1: keyring: is missing | set it: the keys that seal the accounts' secrets",
            ),
            (
                MINIMAL.replace("  hosts: http://127.0.0.1:9200", "  host_field: client"),
                (
                    "1: upstream.hosts: is missing"
                    " | set it: the cluster's nodes, as scheme://host:port, one or a list"
                ),
            ),
            (
                MINIMAL.replace("http://127", "http://elastic:hunter2@127"),
                (
                    "2: upstream.hosts.0: must be a node such as http://127.0.0.1:9200 (scheme, host"
                    " and port; no user, no path) | "
                ),
            ),
            (
                MINIMAL.replace("127.0.0.1", "a..b"),
                (
                    "2: upstream.hosts.0: must be a node such as http://127.0.0.1:9200 (scheme, host"
                    " and port; no user, no path) | "
                ),
            ),
            (
                MINIMAL + "limits:\n  drain: 30\n",
                "8: limits.drain: must be a duration such as 500ms, 30s or 10m | ",
            ),
            (
                MINIMAL + "limits:\n  head_size: 64kib\n",
                "8: limits.head_size: must be a size such as 64kb or 1mb | ",
            ),
            (
                MINIMAL + "limits: 3\n",
                "7: limits: must be a group of settings, indented below it | ",
            ),
            (MINIMAL + "insecure: maybe\n", "7: insecure: must be true or false | "),
            (MINIMAL + "workers: 0\n", "7: workers: must be a whole number from 1 to 256 | "),
            (
                MINIMAL + "forward: {strip_fields: [x, 'a b']}\n",
                (
                    "7: forward.strip_fields.1: must be the name of a header field, such as"
                    " X-Proxy-User | "
                ),
            ),
            (
                MINIMAL + "forward: {strip_fields: [x, Content_Length]}\n",
                (
                    "7: forward.strip_fields.1: without this field the cluster would see another"
                    " request than the client sent | take it away"
                ),
            ),
            (MINIMAL + "workers: true\n", "7: workers: must be a whole number from 1 to 256 | "),
            (
                MINIMAL + "listen: 127.0.0.1:65536\n",
                "7: listen.0: must be an address such as 127.0.0.1:9201 or [::1]:9201 | ",
            ),
            (
                MINIMAL + "listen: [a:1, a:1]\ninsecure: true\n",
                (
                    "7: listen: must be an address such as 127.0.0.1:9201 or [::1]:9201, or a list of"
                    " such addresses, each named once | "
                ),
            ),
            (
                MINIMAL + "audit: {required: true}\n",
                (
                    "7: audit.required: there is no file that a line could have to be in"
                    " | set audit.file as well"
                ),
            ),
            (
                MINIMAL + "access_log: {file: a}\n",
                (
                    "7: access_log.file: has no effect without access_log.enabled"
                    " | set it to true, or take this setting away"
                ),
            ),
            *(
                (
                    MINIMAL + f"trusted_proxies: ['{wrong}']\n",
                    (
                        "7: trusted_proxies.0: must be an address such as 192.0.2.1 or 2001:db8::1,"
                        " or a network such as 10.0.0.0/8, with no bit set beyond its prefix | "
                    ),
                )
                for wrong in ("10.0.0.1/8", "proxy.test", "10.0.0.0/33", "10.0.0.1:80", "")
            ),
            (
                MINIMAL + "registry: {index: ..}\n",
                (
                    "7: registry.index: '..' is no name that an index can have | use lower-case"
                    " letters, digits, '.', '_' and '-', such as .signals_accounts"
                ),
            ),
            (
                MINIMAL + "workers: 2\nworkers: 3\n",
                "8: workers: set twice, first in line 7 | take one of the two away",
            ),
            (
                MINIMAL + "[a]: b\n",
                "7: : a setting's name has to be text | ",
            ),
            (
                MINIMAL + "workers: !!python/name:os.system x\n",
                (
                    "7: workers: a value that begins with '!' is a tag to YAML, and none is supported"
                    " | put the value in quotes"
                ),
            ),
            (
                MINIMAL.replace("hosts:", "ca_fingerprint: a\n  ca_certificates: b\n  hosts:"),
                (
                    "2: upstream.ca_fingerprint: must be a SHA-256 fingerprint: 64 hex digits, with or"
                    " without colons | "
                ),
            ),
            (
                MINIMAL.replace("hosts:", f"ca_fingerprint: {'aa' * 32}\n  hosts:").replace(
                    "hosts:", "ca_certificates: b\n  hosts:"
                ),
                "2: upstream.ca_fingerprint: ca_certificates is set as well | set one of the two",
            ),
            (
                MINIMAL.replace("hosts:", "ca_certificates: b\n  hosts:"),
                (
                    "2: upstream.ca_certificates: no host is reached by https"
                    " | name the hosts with https://, or take this setting away"
                ),
            ),
            (
                MINIMAL + "listen: 127.0.0.1:9200\n",
                (
                    "2: upstream.hosts.0: 127.0.0.1:9200 is the proxy itself"
                    " | name the cluster's own address, or listen on another port"
                ),
            ),
            (
                MINIMAL + "accounts:\n  listen: 127.0.0.1:9200\n",
                (
                    "2: upstream.hosts.0: 127.0.0.1:9200 is the proxy itself"
                    " | name the cluster's own address, or listen on another port"
                ),
            ),
            (
                MINIMAL + "accounts:\n  listen: localhost:9201\n",
                "8: accounts.listen: localhost:9201 is another listener's as well | choose another port",
            ),
            (
                MINIMAL + "accounts:\n  listen: 127.0.0.1:9203\n",
                "8: accounts.listen: 127.0.0.1:9203 is another listener's as well | choose another port",
            ),
            (
                MINIMAL + "accounts:\n  listen: 0.0.0.0:9202\n",
                (
                    "8: accounts.listen: with authorization.backend none, everybody who reaches"
                    " 0.0.0.0:9202 could read, change and delete every account | listen on a loopback"
                    " address such as 127.0.0.1:9202, or allow it with `insecure: true`"
                ),
            ),
            (
                MINIMAL + "listen:\n- 127.0.0.1:1\n- 0.0.0.0:9201\n",
                (
                    "9: listen.1: with authorization.backend none, everybody who reaches 0.0.0.0:9201"
                    " could read, change and delete every account | listen on a loopback address such"
                    " as 127.0.0.1:9201, or allow it with `insecure: true`"
                ),
            ),
        ],
    )
    def test_one_mistake(self, load: Load, text: str, told: str) -> None:
        """Each mistake is told once, with line, setting and remedy, and without any value."""
        found = only(load, text)
        assert told == found
        assert "hunter2" not in found

    def test_all_at_once(self, load: Load) -> None:
        """All mistakes of a file are found in one go, in the order of its lines."""
        found = told(load, "workers: no\nlisten: 9201\nupstream: {host: a}\nkeyring: {}\n")
        assert [line.split(" ")[:2] for line in found] == [
            ["1:", "authorization:"],
            ["1:", "workers:"],
            ["2:", "listen:"],
            ["3:", "upstream.host:"],
            ["3:", "upstream.hosts:"],
            ["4:", "keyring:"],
        ]

    def test_is_its_first_error(self, load: Load, tmp_path: Path) -> None:
        """As one error it is the first, so that whoever tells only one tells a whole one."""
        with pytest.raises(ConfigError, match=f"^{tmp_path}/proxy.yaml:7: workers: must be a"):
            load(MINIMAL + "workers: x\nlisten: y\n")

    @pytest.mark.parametrize("text", ["", "# nothing\n", "~"])
    def test_empty(self, load: Load, text: str) -> None:
        """An empty file lacks what is required, and that is what is told."""
        assert [line.split(":")[1] for line in told(load, text)] == [
            " authorization",
            " keyring",
            " upstream",
        ]

    @pytest.mark.parametrize("text", ["- a\n", "some words\n"])
    def test_no_mapping(self, load: Load, text: str) -> None:
        """A list or a text is no configuration."""
        assert only(load, text) == "1: : must be a group of settings, indented below it | "

    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            ("a: [hunter2\nb: c: d\n", 2, "not YAML: "),
            ("a: 'hunter2\n", 2, "not YAML: found unexpected end of stream"),
            ("a: &x hunter2\nb: *x\n", 2, "not YAML: aliases are not supported here"),
            ("a: b\n---\na: hunter2\n", 2, "not YAML: but found another document"),
            ("a: hunter2\x00\n", None, "not YAML: a character that may not stand in a text"),
        ],
    )
    def test_not_yaml(self, load: Load, text: str, line: int | None, message: str) -> None:
        """What is not YAML, or more than is needed of it, is told with its line and not quoted."""
        with pytest.raises(ConfigError) as raised:
            load(text)
        assert (line, message) == (raised.value.line, raised.value.message[: len(message)])
        assert "hunter2" not in f"{raised.value.message} {raised.value.remedy}"

    @pytest.mark.parametrize(
        "value",
        [
            *("!hunter2", "!hunter2!x", "!hunter2!", "!<hunter2", "!!hunter2", "!", "!hunter2%zz"),
            *("@hunter2", "`hunter2", "%hunter2", "&hunter2 &hunter3", "*hunter2", "&*", "*@"),
            *('"\\qhunter2"', '"\\xhunter2"', '"hunter2', "'hunter2", "|hunter2", ">9 hunter2"),
            *("[hunter2", "{hunter2", "hunter2: a: b", "- hunter2", "hunter2\n? b", "!%FF hunter2"),
            *("{a]hunter2", "[a}hunter2", "a\n--- hunter2\n%TAG !x! y\n%TAG !x! z"),
        ],
    )
    def test_no_value_is_quoted(self, load: Load, value: str) -> None:
        """Whatever YAML makes of a password without quotes, no piece of it is told."""
        credentials = "registry:\n  credentials:\n    username: u\n    password: "
        try:
            load(MINIMAL + credentials + value + "\n")
        except ConfigError as error:
            errors = error.errors if isinstance(error, InvalidSettings) else [error]
            said = "".join(f"{each.message}{each.remedy}{each.path}" for each in errors)
            assert not re.search(r"hunter|[@`%&*]|\\q|'[qx@]'|0x", said)
            assert error.__cause__ is None

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            ("!a!b", "a value that begins with '!' is a tag to YAML, and none is supported"),
            ("@a", "a value that begins with this character has to stand in quotes"),
            ('"\\q"', 'an unknown escape: within "…" a backslash has to be doubled'),
            ("a: b", "mapping values are not allowed here"),
            ("[a", "expected ',' or ']'"),
            ("!%FF x", "something that may not stand here"),
        ],
    )
    def test_what_yaml_cannot_read(self, load: Load, value: str, told: str) -> None:
        """Each mistake of writing has words of its own, without what was written."""
        with pytest.raises(ConfigError) as raised:
            load(f"a: {value}\n")
        assert raised.value.message == f"not YAML: {told}"

    def test_missing_file(self, tmp_path: Path) -> None:
        """A configuration that is not there is told by its path, with where to start."""
        with pytest.raises(
            ConfigError, match=r"none\.yaml: cannot be read: no such file"
        ) as raised:
            config.load(tmp_path / "none.yaml", {})
        assert "config.example.yaml" in raised.value.remedy

    def test_not_utf_8(self, tmp_path: Path) -> None:
        """A configuration in another encoding is refused."""
        (tmp_path / "proxy.yaml").write_bytes(b"a: \xff\n")
        with pytest.raises(ConfigError, match="not a text file"):
            config.load(tmp_path / "proxy.yaml", {})
