"""What a configuration file may say, and where it arrives."""

from pathlib import Path

import pytest
import yaml
from configured import MINIMAL, Load, only
from jsonschema import Draft202012Validator

from signals_proxy import config
from signals_proxy.authorization import AuthorizationSettings
from signals_proxy.config import AccessLogSettings, Address, KeyringText
from signals_proxy.config.checked import settings_of
from signals_proxy.errors import ConfigError
from signals_proxy.registry.settings import (
    ApiKeyCredentials,
    BasicCredentials,
    BearerCredentials,
    RegistrySettings,
)
from signals_proxy.relay import Forwarding, Limits, Upstream
from signals_proxy.secret import Secret
from signals_proxy.telemetry.audit import AuditSettings


class TestWholeFiles:
    def test_defaults(self, load: Load, tmp_path: Path) -> None:
        """A file with the three required settings has the documented defaults for all others."""
        settings = load(MINIMAL)
        assert (Address("127.0.0.1", 9201),) == settings.listen
        assert Address("127.0.0.1", 9203) == settings.health
        assert settings.accounts == ()
        assert settings.tls is None
        assert settings.workers == 1
        assert settings.insecure is False
        assert Upstream(hosts=("http://127.0.0.1:9200",)) == settings.upstream
        assert Limits() == settings.limits
        assert settings.forwarding is None
        assert RegistrySettings() == settings.registry
        assert AuthorizationSettings() == settings.authorization
        assert AuditSettings() == settings.audit
        assert settings.access_log is None
        assert settings.trusted_proxies == ()
        assert tmp_path / "keyring" == settings.keyring.file
        assert Secret((tmp_path / "keyring").read_text()) == settings.keyring.text
        assert tmp_path / "proxy.yaml" == settings.file

    def test_everything_set(self, load: Load, tmp_path: Path) -> None:
        """Every setting arrives in the settings of the room that it is for."""
        (tmp_path / "ca.pem").write_text("authorities")
        (tmp_path / "ring").touch(0o600)
        (tmp_path / "ring").write_text("keys")
        settings = load(
            f"""\
listen: ["[::1]:1", 127.0.0.2:2]
workers: 3
insecure: true
upstream:
  hosts: [https://es-1:9200/, "http://[::1]:9201"]
  ca_certificates: ca.pem
  connect_timeout: 500ms
  host_field: upstream
registry:
  index: .accounts
  credentials: {{username: proxy, password: pa$$word}}
keyring: {{file: {tmp_path}/ring}}
authorization: {{backend: none, hostnames: [proxy.test]}}
audit: {{file: audit.json, required: true}}
access_log: {{enabled: true, file: access.json}}
trusted_proxies: [192.0.2.1, 10.0.0.0/8, "2001:db8::/32", "::ffff:198.51.100.0/120"]
health: {{listen: "localhost:3"}}
accounts: {{listen: 127.0.0.3:4}}
forward: {{strip_fields: [X-Proxy-User, es-Security_Runas-user], append_forwarded_for: true}}
limits:
  head_size: 1kb
  response_head_size: 2mb
  head_timeout: 2s
  idle_timeout: 2m
  connections: 5
  in_flight: 7
  place_timeout: 3s
  answer_timeout: 9m
  drain: 1d
"""
        )
        assert (Address("::1", 1), Address("127.0.0.2", 2)) == settings.listen
        assert Address("localhost", 3) == settings.health
        assert (Address("127.0.0.3", 4),) == settings.accounts
        assert settings.workers == 3
        assert settings.insecure is True
        assert settings.upstream == Upstream(
            hosts=("https://es-1:9200", "http://[::1]:9201"),
            ca_certificates="authorities",
            connect_timeout_s=0.5,
            host_field="upstream",
        )
        assert settings.registry == RegistrySettings(
            ".accounts", BasicCredentials("proxy", Secret("pa$$word"))
        )
        assert KeyringText(Secret("keys"), tmp_path / "ring") == settings.keyring
        assert AuthorizationSettings("none", ("proxy.test",)) == settings.authorization
        assert AuditSettings(tmp_path / "audit.json", required=True) == settings.audit
        assert AccessLogSettings(tmp_path / "access.json") == settings.access_log
        assert [str(network) for network in settings.trusted_proxies] == [
            *("192.0.2.1/32", "10.0.0.0/8", "2001:db8::/32"),
            "198.51.100.0/24",  # as the client's address is compared, too
        ]
        assert (
            Limits(1024, 2.0, 120.0, 5, 86400.0, 2 * 1024 * 1024, 7, 3.0, 540.0) == settings.limits
        )
        names = frozenset({b"x-proxy-user", b"es-security-runas-user"})
        assert settings.forwarding == Forwarding(names, append_forwarded_for=True)

    def test_null_is_not_set(self, load: Load) -> None:
        """A setting or a group without a value counts as not set."""
        assert load(MINIMAL + "limits:\nlisten: null\n").limits == Limits()

    def test_other_credentials(self, load: Load) -> None:
        """An API key and a bearer token are the other two kinds of credentials."""
        key = load(MINIMAL + "registry: {credentials: {api_key: a}}").registry.credentials
        token = load(MINIMAL + "registry: {credentials: {bearer_token: b}}").registry.credentials
        assert ApiKeyCredentials(Secret("a")) == key
        assert BearerCredentials(Secret("b")) == token

    def test_ca_fingerprint(self, load: Load) -> None:
        """A fingerprint may be written with colons and in capitals; it is kept in one form."""
        text = MINIMAL.replace("http:", "https:").replace(
            "keyring:", f"  ca_fingerprint: {':'.join(['AB'] * 32)}\nkeyring:"
        )
        assert load(text).upstream.ca_fingerprint == "ab" * 32


class TestVariables:
    def test_expansion(self, load: Load) -> None:
        """A variable is put into a value, whole or in the middle, as often as it is named."""
        text = MINIMAL + "registry: {index: '.${A}-${B}-${A}'}\n"
        assert load(text, {"A": "x", "B": "y"}).registry.index == ".x-y-x"

    def test_numbers(self, load: Load) -> None:
        """A variable may hold a number or a truth value where the setting is one."""
        settings = load(MINIMAL + "workers: ${N}\ninsecure: ${I}\n", {"N": "2", "I": "true"})
        assert (settings.workers, settings.insecure) == (2, True)

    def test_text_that_looks_like_a_number(self, load: Load) -> None:
        """A variable for a text is a text, whatever it looks like."""
        text = MINIMAL + "registry: {credentials: {api_key: '${KEY}'}}"
        assert ApiKeyCredentials(Secret("0123")) == load(text, {"KEY": "0123"}).registry.credentials

    def test_content_is_no_structure(self, load: Load) -> None:
        """What a variable holds is never read as YAML or as a further variable."""
        text = MINIMAL + "registry: {credentials: {username: u, password: '$${A}${B}'}}"
        found = load(text, {"A": "a", "B": "${A}: [x]"}).registry.credentials
        assert BasicCredentials("u", Secret("${A}${A}: [x]")) == found

    def test_unset(self, load: Load) -> None:
        """A variable that is not set is an error at its line, and the only one at its place."""
        told = only(load, MINIMAL + "workers: ${NONE}\n")
        assert told == (
            "7: workers: the environment variable NONE is not set"
            " | set it, or write $${NONE} for that text itself"
        )

    def test_unfinished(self, load: Load) -> None:
        """`${` without a name and a closing brace is an error, not a text."""
        told = only(load, MINIMAL + "registry: {index: '${a b}'}\n")
        assert told.startswith("7: registry.index: '${' begins the name of a variable")

    def test_not_a_number(self, load: Load) -> None:
        """A variable that does not hold what the setting needs is told without its content."""
        told = only(load, MINIMAL + "workers: ${N}\n", {"N": "hunter2"})
        assert told == "7: workers: must be a whole number from 1 to 256 | "


class TestSecretsInFiles:
    def test_twin(self, load: Load, tmp_path: Path) -> None:
        """`password_file` beside the configuration gives the password, without its line break."""
        (tmp_path / "secret").write_text("hunter2 \n")
        (tmp_path / "secret").chmod(0o600)
        text = MINIMAL + "registry: {credentials: {username: u, password_file: secret}}"
        expected = BasicCredentials("u", Secret("hunter2 "))
        assert expected == load(text).registry.credentials

    def test_both(self, load: Load) -> None:
        """A secret and its file at once are a contradiction."""
        text = MINIMAL + "registry: {credentials: {api_key: a, api_key_file: b}}"
        told = only(load, text)
        expected = (
            "7: registry.credentials.api_key_file: api_key is set as well | set one of the two"
        )
        assert expected == told

    def test_in_a_readable_file(self, load: Load) -> None:
        """A secret in a configuration that others may read is refused; a variable is not."""
        text = MINIMAL + "registry: {credentials: {api_key: hunter2}}"
        with pytest.raises(ConfigError) as raised:
            load(text, mode=0o644)
        assert raised.value.message == "a secret in a file that others may use"
        assert "api_key_file, or ${NAME}" in raised.value.remedy
        assert "hunter2" not in f"{raised.value} {raised.value.remedy}"
        text = text.replace("hunter2", "'${KEY}'")
        assert load(text, {"KEY": "k"}, mode=0o644).registry.credentials is not None

    def test_every_twin_is_in_the_schema(self) -> None:
        """The published schema accepts the file of every secret, for editors that use it."""
        secrets = [place for place, part in settings_of(config.schema()) if part.get("writeOnly")]
        assert [place[-1] for place in secrets] == ["password", "api_key", "bearer_token"]
        for name in ("password", "api_key", "bearer_token"):
            credentials = {f"{name}_file": "f", **({"username": "u"} if name == "password" else {})}
            whole = yaml.safe_load(MINIMAL) | {"registry": {"credentials": credentials}}
            Draft202012Validator(config.schema()).validate(whole)


class TestPlaces:
    def test_an_error_found_later_gets_its_line(self, load: Load) -> None:
        """What fails only when it is used is told with the file and the line of its setting."""
        settings = load("# a comment\nlisten: 127.0.0.1:1\n" + MINIMAL)
        with pytest.raises(ConfigError) as raised, settings.locating():
            raise ConfigError("taken", path="listen.0", remedy="r")
        error = raised.value
        assert (settings.file, 2, "listen.0", "r") == (
            error.file,
            error.line,
            error.path,
            error.remedy,
        )

    def test_an_error_of_another_file_stays(self, load: Load, tmp_path: Path) -> None:
        """An error that names another file, or no setting, is left as it is."""
        settings = load(MINIMAL)
        for error in (ConfigError("m", file=tmp_path / "keyring"), ConfigError("m")):
            with pytest.raises(ConfigError) as raised, settings.locating():
                raise error
            assert error is raised.value
