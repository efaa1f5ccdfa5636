"""Each format takes what is certainly meant and nothing else."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account.formats import FORMATS


def pem(label, der=b"\x30\x03\x02\x01\x00", end="\n"):
    """A PEM block around some DER, by default an empty SEQUENCE's neighbour."""
    body = base64.encodebytes(der).decode().replace("\n", end)
    return f"-----BEGIN {label}-----{end}{body}-----END {label}-----{end}"


CERTIFICATE = pem("CERTIFICATE")
KEY = pem("PRIVATE KEY")

ACCEPTED = {
    "line": ["", "a b", "Zoë", "\U0001f600"],
    "text": ["", "a\tb\nc\r\nd"],
    "token": ["xoxb-1-2", "!~"],
    "basic-user": ["a@b.test", "Zoë", ""],
    "header-name": ["X-Api-Key", "content-type", "Authorization", "a!#$%&'*+.^_`|~-9", "Hosts"],
    "header-value": ["a", "a b", "~!", "text/plain; charset=utf-8", '"'],
    "label": ["a", "team", "a.b/c_d-9", "a" * 63],
    "date": ["2030-12-31", "2028-02-29"],
    "host": [
        *("smtp.example.com", "smtp.example.com.", "localhost", "mail_server", "SMTP.Example.COM"),
        *(
            "127.0.0.1",
            "::1",
            "2001:db8::25",
            "xn--bcher-kva.example",
            "a" * 63 + ".b",
            "1a",
            "3.a",
        ),
    ],
    "http-url": [
        "https://hooks.slack.com/services/T0/B0/X",
        "http://127.0.0.1:8080/a?b=c&d=%20",
        "HTTPS://h",
        "https://[::1]:1/",
        "https://h?x",
    ],
    "mailbox": [
        *("to@sg.test", "Cc <cc@sg.test>", '"Bcc" <bcc@sg.test>', "<a@b>", "a+b/c@d.e"),
        *("Signals <signals@example.com>", "John Q. Public <j@x.test>", "Zoë Ünal <z@x.test>"),
        *('"a \\" b" <a@b.test>', '"a b"@c.test', '"@"@c.test', "a@[127.0.0.1]", "a@[IPv6:::1]"),
        *("a@127.0.0.1", "A B<a@b>", '"x"  y <a@b>', '"" <a@b>', "l" * 64 + "@b.test"),
    ],
    "pem-certificates": [
        *(CERTIFICATE, CERTIFICATE.strip(), CERTIFICATE * 3, "\n" + CERTIFICATE + "\n\n"),
        *(pem("CERTIFICATE", end="\r\n"), pem("CERTIFICATE", b"\x30\x81\x80" + bytes(128))),
    ],
    "pem-private-key": [KEY, pem("RSA PRIVATE KEY"), pem("EC PRIVATE KEY")],
}
REFUSED = {
    "line": ["a\nb", "a\rb", "\0", "\t", "\x7f", "\x85", "\u2028"],
    "text": ["a\rb", "\0", "\x1b[0m", "\u2029"],
    "token": ["", "a b", "ä", "a\n"],
    "basic-user": ["a:b", "a\nb", "\0"],
    "header-name": [
        *(
            "",
            "a b",
            "a:",
            "ä",
            "a\n",
            "a\r\nb",
            "(a)",
            "a/b",
            "\0",
            "host",
            "HOST",
            "Content-Length",
        ),
        *("transfer-encoding", "Connection", "keep-alive", "TE", "trailer", "Upgrade", "expect"),
        *("Proxy-Authorization", "proxy-", "PROXY-CONNECTION"),
    ],
    "header-value": ["", " a", "a ", "a\tb", "a\r\nb", "a\n", "ä", "\0", "\x7f"],
    "label": ["", "-a", "a-", "a b", "a" * 64, "ä", "a\n"],
    "date": [
        "",
        "2030-2-1",
        "2030-02-30",
        "20300101",
        "2030-W01-1",
        "2030-01-01T00:00",
        "\uff12030-01-01",
    ],
    "host": [
        *(
            "",
            ".",
            "a..b",
            ".a",
            "-a",
            "a-",
            "a b",
            "a:25",
            "[::1]",
            "http://a",
            "a/b",
            "a@b",
            "ä.de",
        ),
        *("127.1", "0x7f000001", "2130706433", "0177.0.0.1", "a.0x1", "1.2.3.4.5", "fe80::1%eth0"),
        *("a" * 64, "a." * 127, "a\n", "127.0.0.1\n", "a%00", "256.1.1.1", "1.2.3.4."),
    ],
    "http-url": [
        *(
            "",
            "hooks.slack.com",
            "ftp://h",
            "https://",
            "https:///x",
            "https://u@h",
            "https://u:p@h/",
        ),
        *(
            "https://h#f",
            "https://h:0",
            "https://h:65536",
            "https://h:x",
            "https://h/ä",
            "https://h/ ",
        ),
        *(
            "https://h\\x",
            "https://h/%zz",
            "https://127.1/",
            "https://[1]/",
            "https://[1.2.3.4]/",
            "https://h/\n",
            "//h",
        ),
        *("http\u017f://h", "https://h:1:2", "https://h:"),
    ],
    "mailbox": [
        *("fr@om@sg.test", "to@", "Cc cc@sg.test", "Bcc <bcc@sg.test", "@", "", "a", "a b@c", "<>"),
        *("a@b\r\nBcc: x@y", "a\n <a@b>", '"a\nb" <a@b>', "a@b\0", "a@b, c@d", "<a@b", "a@b>"),
        *('"a <a@b>', 'a"b" <a@b>', "(c) <a@b>", "a@b (c)", " a@b", "a@b ", "<a@b> x", "a..b@c"),
        *(".a@b", "a.@b", "ä@b.test", "a@ä.test", "a@b..c", "a@-b", "a@[x]", "a@[1.1.1.1", "a@b."),
        *(
            "a\u200b <a@b>",
            "a\u202e <a@b>",
            "l" * 65 + "@b",
            "a@" + ".".join(["b" * 63] * 4),
            "a,b <a@b>",
        ),
        *('"\u2028" <a@b>', '"ä"@b.test', "a@[IPv6:]", "x: a@b;", "a@[::1]"),
        *("a@[IPv6:1.2.3.4]", "a@[IPv6:::1%25a]"),
        *('"a@b.test>"@c.test', '"<a@b.test"@c.test', '"a\\>"@c.test', '<"a>"@c.test>'),
    ],
    "pem-certificates": [
        *("", "\n", "x", "# c\n" + CERTIFICATE, CERTIFICATE + KEY, KEY, CERTIFICATE + "x"),
        *(CERTIFICATE.replace("MAM", "M*M"), CERTIFICATE.replace("-----END", "----END")),
        *(CERTIFICATE.replace("END C", "END X"), pem("CERTIFICATE", b"\x30\x04\x02\x01\x00")),
        *(pem("CERTIFICATE", b"\x02\x01\x00"), pem("CERTIFICATE", b"\x30"), CERTIFICATE[:-30]),
        *(pem("TRUSTED CERTIFICATE"), CERTIFICATE.replace("MAM", "MA=M")),
        pem("CERTIFICATE", b"\x30\x80" + bytes(128)),
    ],
    "pem-private-key": [
        *("", "x", KEY * 2, CERTIFICATE, KEY + CERTIFICATE, pem("ENCRYPTED PRIVATE KEY")),
        KEY.replace("\nMA", "\nProc-Type: 4,ENCRYPTED\n\nMA"),
    ],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in ACCEPTED.items() for t in ts])
def test_accepted(name, text):
    """What the format is for passes."""
    assert FORMATS[name].accepts(text)


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in REFUSED.items() for t in ts])
def test_refused(name, text):
    """What is not certainly meant does not pass."""
    assert not FORMATS[name].accepts(text)


def test_every_format_is_tried():
    """A new format comes with its examples."""
    assert FORMATS.keys() == ACCEPTED.keys() == REFUSED.keys()


@given(st.sampled_from(sorted(FORMATS)), st.text(max_size=30))
def test_no_format_lets_a_control_character_pass(name, text):
    """Nothing that could end a line of a protocol is ever stored, but in texts and PEM."""
    if FORMATS[name].accepts(text):
        inside = text if name not in {"text", "pem-certificates", "pem-private-key"} else ""
        assert not re.search("[\x00-\x1f\x7f-\x9f]", inside)


ATOM = st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=8)


@given(st.lists(ATOM, min_size=1, max_size=4), st.lists(ATOM, max_size=3))
def test_every_name_addr_of_atoms_is_a_mailbox(local, name):
    """RFC 5322's atoms pass everywhere, and a line break never does."""
    address = ".".join(local) + "@mail.example.com"
    for text in (address, f"<{address}>", f"{' '.join(name)} <{address}>".strip()):
        assert FORMATS["mailbox"].accepts(text)
        assert not FORMATS["mailbox"].accepts(text + "\n")
        assert not FORMATS["mailbox"].accepts(text.replace("@", "\r\n@"))


@pytest.mark.parametrize(
    "text", ['"' * 5000, "a " * 5000 + "<", "a.b" * 3000 + "@", "-----BEGIN A-----\n" * 999]
)
def test_no_format_takes_long(text):
    """Nothing here backtracks without bound (the whole test takes milliseconds)."""
    assert [
        name
        for name in FORMATS
        if name not in {"line", "text", "token", "basic-user", "header-value"}
        and FORMATS[name].accepts(text)
    ] == []
