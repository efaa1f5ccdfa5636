"""``signals-proxy seal``: what becomes of a file, and when it stays as it is."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from signals_proxy.account import keyring as keyrings
from signals_proxy.account.file import PublicKey, open_text
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.ref import Ref
from signals_proxy.cli import main

REF = Ref("email", "a")
ACCOUNT = "type: email\n_name: a\nhost: smtp.example.com\nport: 465\nuser: u\n"
PEM = "-----BEGIN {0}-----\n  MAMCAQA=\n  -----END {0}-----\n"
KEY = PEM.format("PRIVATE KEY")
CERTIFICATE = "client_certificate: |\n  " + PEM.format("CERTIFICATE")


@pytest.fixture
def key(tmp_path: Path, keyring: Keyring) -> Path:
    file = tmp_path / "key"
    file.write_text(PublicKey.of(keyring).line + "\n")
    return file


@pytest.fixture
def seal(tmp_path: Path, key: Path) -> Callable[..., Result]:
    """Return a function that writes a file and has it sealed."""

    def seal(text: str, *options: str, name: str = "a.yaml") -> Result:
        file = tmp_path / name
        file.write_bytes(text.encode())
        return CliRunner().invoke(main, ["seal", str(file), "--key", str(key), *options])

    return seal


def opened(text: str, keyring: Keyring, ref: Ref = REF) -> dict[str, object]:
    secrets, _ = open_text(text, keyring, ref)
    return {name: secret.reveal() for name, secret in secrets.items()}


SHAPES = {
    "one line": ("password: {0} # the password\n", "$\n"),
    "quoted, in two lines": ('# kept\npassword: "{0}\\\n  "\n# kept\n', "# kept\n$\n# kept\n"),
    "a block": (
        "# kept\nclient_key: |\n  " + KEY + "\n\n# kept\npassword: {0}\n" + CERTIFICATE,
        "# kept\n$\n\n\n# kept\n" + CERTIFICATE,
    ),
    "an object": (
        "oauth2:  # a\n  token_url: https://a.test\n\n  # b\n  client_id: i\n  client_secret: {0}\n\n# kept\n",
        "$\n\n# kept\n",
    ),
    "an object in a line": (
        "oauth2: {{token_url: 'https://example.com/', client_id: i,\n client_secret: {0}}} # gone\n",
        "$\n",
    ),
    "no end of line": ("password: {0}", "$\n"),
    "a comment beside a block": (
        "client_key: |\n  " + KEY + " # kept\n" + CERTIFICATE,
        "$\n # kept\n" + CERTIFICATE,
    ),
    "an anchor": ("password: &p {0}\ndebug: true\n", "$\ndebug: true\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_yaml(
    seal: Callable[..., Result],
    tmp_path: Path,
    keyring: Keyring,
    secret_value: str,
    shape: str,
) -> None:
    """The lines of the secrets become one; all others stay as they were, byte for byte."""
    before, after = SHAPES[shape]
    result = seal(ACCOUNT + before.format(secret_value))
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    text = (tmp_path / "a.yaml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("$sealed: "))
    assert text == ACCOUNT + after.replace("$", line)
    secrets = opened(line.removeprefix("$sealed: "), keyring)
    assert secret_value in json.dumps(secrets) or secrets.keys() == {"client_key"}


def test_crlf(seal: Callable[..., Result], tmp_path: Path) -> None:
    """The line ends of another system stay."""
    assert seal((ACCOUNT + "password: x\ndebug: true\n").replace("\n", "\r\n")).exit_code == 0
    lines = (tmp_path / "a.yaml").read_bytes().split(b"\n")
    assert [line for line in lines if line and not line.endswith(b"\r")] == [lines[5]]
    assert lines[5].startswith(b"$sealed: ")


@pytest.mark.parametrize(
    "text",
    [
        "{type: email, _name: a, host: h, port: 1, user: u, password: x}\n",
        ACCOUNT + "? password\n: x\n",
        ACCOUNT.replace("\n", "\r") + "password: x\r",
        "\ufeffpassword: x\n" + ACCOUNT,
        ACCOUNT + "password: x\x85debug: true\n",
    ],
)
def test_not_to_be_cut(seal: Callable[..., Result], tmp_path: Path, text: str) -> None:
    """A file in which the lines of a secret are no lines of its own stays as it is."""
    result = seal(text)
    assert result.exit_code == 2
    assert "the secrets cannot be cut out of this file for certain" in result.stderr
    assert (tmp_path / "a.yaml").read_bytes() == text.encode()


def test_json(
    seal: Callable[..., Result], tmp_path: Path, keyring: Keyring, secret_value: str
) -> None:
    """JSON is written anew, in its order; a tenant's account is sealed for the tenant."""
    before = {"type": "Slack", "_tenant": "ops", "url": f"https://example.com/{secret_value}"}
    assert seal(json.dumps({**before, "_name": "ä", "owner": "ö"}), name="a.json").exit_code == 0
    text = (tmp_path / "a.json").read_text()
    after = json.loads(text)
    assert list(after) == ["type", "_tenant", "$sealed", "_name", "owner"]
    assert text == json.dumps(after, indent=2, ensure_ascii=False) + "\n"
    assert opened(after["$sealed"], keyring, Ref("slack", "ä", "ops")) == {"url": before["url"]}


def test_says_for_whom(seal: Callable[..., Result], tmp_path: Path, keyring: Keyring) -> None:
    """Which secrets were sealed, and for which registry, is told; a second time there is nothing."""
    fingerprint = PublicKey.of(keyring).fingerprint
    file = tmp_path / "a.yaml"
    result = seal(ACCOUNT + "password: x\n")
    expected = f"signals-proxy: {file}: sealed password for the registry whose key is {fingerprint}"
    assert result.stderr == expected + "\n"
    before = file.stat()
    again = CliRunner().invoke(main, ["seal", str(file), "--key", str(tmp_path / "key")])
    expected = f"signals-proxy: {file}: nothing in clear to seal\n"
    assert (again.exit_code, again.stderr) == (0, expected)
    assert file.stat() == before


def test_replaces_whole(seal: Callable[..., Result], tmp_path: Path, key: Path) -> None:
    """The file keeps its mode, a link stays one, and nothing is left beside it."""
    seal(ACCOUNT + "password: x\n")
    file, link = tmp_path / "a.yaml", tmp_path / "link.yaml"
    file.write_text(ACCOUNT + "password: x\n")
    file.chmod(0o640)
    link.symlink_to(file)
    assert CliRunner().invoke(main, ["seal", str(link), "--key", str(key)]).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert "$sealed: " in file.read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.yaml", "key", "link.yaml"]


@pytest.mark.skipif(os.getuid() != 0, reason="nobody else can give files away")
def test_keeps_the_owner(seal: Callable[..., Result], tmp_path: Path, key: Path) -> None:
    """A file that root seals stays its owner's, and so does its mode."""
    seal(ACCOUNT + "password: x\n")
    file = tmp_path / "a.yaml"
    file.write_text(ACCOUNT + "password: x\n")
    os.chown(file, 4321, 5432)
    file.chmod(0o640)
    assert CliRunner().invoke(main, ["seal", str(file), "--key", str(key)]).exit_code == 0
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (4321, 5432, 0o640)


def test_output(seal: Callable[..., Result], tmp_path: Path) -> None:
    """The result can go elsewhere, also if there was nothing to do; the file stays as it is."""
    text = ACCOUNT + "password: x\n"
    for out in ("-", str(tmp_path / "out.yaml")):
        result = seal(text, "--output", out)
        sealed = result.stdout if out == "-" else Path(out).read_text()
        assert sealed.startswith(ACCOUNT + "$sealed: signals-proxy-sealed-1.")
        assert (tmp_path / "a.yaml").read_text() == text
        result = seal(sealed, "--output", out)
        assert sealed == (result.stdout if out == "-" else Path(out).read_text())


def test_no_file(seal: Callable[..., Result], tmp_path: Path) -> None:
    """Neither a pipe or device, nor links in a circle, is replaced by a file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("link")
    for name, said in (("pipe", "not a regular file"), ("link", "too many levels of symbolic")):
        result = seal(ACCOUNT + "password: x\n", "--output", str(tmp_path / name))
        assert (result.exit_code, said in result.stderr) == (2, True)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_in_clear_elsewhere(seal: Callable[..., Result], tmp_path: Path, secret_value: str) -> None:
    """A comment with the same secret stays, and is warned of by its line."""
    key = "# " + KEY.replace("\n  ", "\n# ")
    result = seal(
        f"# was {secret_value}\n{ACCOUNT}password: {secret_value}\n"
        f"client_key: |\n  {KEY}{key}{CERTIFICATE}"
    )
    assert result.exit_code == 0
    warned = [line for line in result.stderr.splitlines() if "warning: " in line]
    assert warned == [
        f"signals-proxy: warning: {tmp_path}/a.yaml: line {line} of the result holds one of these"
        " secrets in clear"
        for line in (1, 8, 9, 10, 13)
    ]
    assert secret_value not in result.stderr


def test_errors(seal: Callable[..., Result], tmp_path: Path, secret_value: str) -> None:
    """All errors of a file are told at once, with their lines and without the secrets."""
    text = ACCOUNT.replace("465", "99999").replace("user: u\n", "")
    result = seal(text + f"password: {secret_value}\npasswrod: {secret_value}\n")
    assert result.exit_code == 2
    for line in (
        f"error: {tmp_path}/a.yaml:4: port: Invalid value; expected: An integer from 1 to 65535",
        f"error: {tmp_path}/a.yaml:6: passwrod: Unknown attribute; did you mean 'password'?",
        f"error: {tmp_path}/a.yaml: user: A user must be specified if a password is specified",
    ):
        assert f"signals-proxy: {line}" in result.stderr
    assert (tmp_path / "a.yaml").read_text().startswith(text)


@pytest.mark.parametrize("more", ["password: '::es_redacted::'\n", "$sealed: x\npassword: x\n"])
def test_nothing_to_be_sealed(seal: Callable[..., Result], tmp_path: Path, more: str) -> None:
    """A secret that only the registry has, or one beside sealed ones, is refused."""
    assert seal(ACCOUNT + more).exit_code == 2
    assert (tmp_path / "a.yaml").read_text() == ACCOUNT + more


def test_keys(seal: Callable[..., Result], key: Path, keyring: Keyring) -> None:
    """The key's file may be the registry's answer; what is no key is refused and not quoted."""
    public = PublicKey.of(keyring)
    key.write_text(json.dumps({"key": public.line, "fingerprint": public.fingerprint}))
    assert seal(ACCOUNT + "password: x\n").exit_code == 0
    ring = keyrings.generate()
    for text in ("", "{", "{}", '{"key": 1}', ring, ring.splitlines()[-1], public.line[:-1]):
        key.write_text(text)
        result = seal(ACCOUNT + "password: x\n")
        assert result.exit_code == 2
        assert f"error: {key}: " in result.stderr
        assert not any(line in result.stderr for line in filter(None, text.splitlines()[1:]))
