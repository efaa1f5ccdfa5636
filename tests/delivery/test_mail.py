"""A message as bytes: what the standard library reads out of them is what was meant."""

import base64
import email
import email.policy
import json
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account import message as messages
from signals_proxy.account.formats import FORMATS
from signals_proxy.delivery import mail
from signals_proxy.errors import InvalidMessage

NOW = datetime(2026, 11, 26, 13, 30, tzinfo=UTC)
SCHEMA = messages.load()["email"]
MESSAGE = {"from": "a@mail.test", "to": "b@mail.test", "subject": "x", "text_body": "y"}
FIELDS = {
    *("date", "message-id", "from", "to", "cc", "subject", "auto-submitted", "mime-version"),
    *("content-type", "content-transfer-encoding"),
}

ANY = st.characters(exclude_categories=["Cs"])
OF_LINES = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
LINES = st.text(OF_LINES, min_size=1, max_size=120)
PROSE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)
PROSE |= st.text("\r\n.=- \tx")
NAMES = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=80)
ADDRESSES = st.sampled_from(
    ["a@mail.test", '"a, b \\" c"@mail.test', "x+y=z@xn--bcher-kva.test", "u@[192.0.2.1]"]
) | st.sampled_from(["u@[IPv6:2001:db8::1]", "!#$%&'*+/=?^_`{|}~-@mail.test"])
FILES = st.dictionaries(
    # Readers take blanks away at either end.
    LINES.map(lambda name: name.translate({ord("/"): "x", ord("\\"): "x"}).strip() or "x"),
    st.fixed_dictionaries(
        {"content": st.binary(max_size=200).map(base64.b64encode).map(bytes.decode)},
        optional={"content_type": st.sampled_from(["text/csv", "application/pdf", "image/png"])},
    ),
    max_size=3,
)


@st.composite
def mailboxes(draw):
    """A display name in any script, or none; how it is written as a mailbox; its address."""
    name, address = draw(NAMES), draw(ADDRESSES)
    quoted = re.sub(r'(["\\])', r"\\\1", name)
    return name, address, f'"{quoted}" <{address}>' if name else address


ONE_TEXT = st.fixed_dictionaries({"text_body": PROSE}, optional={"html_body": PROSE})
MESSAGES = st.builds(
    lambda texts, rest: {**texts, **rest},
    ONE_TEXT | st.fixed_dictionaries({"html_body": PROSE}),
    st.fixed_dictionaries(
        {"from": mailboxes(), "subject": LINES, "to": st.lists(mailboxes(), min_size=1)},
        optional={name: st.lists(mailboxes(), max_size=4) for name in ("cc", "bcc")}
        | {"attachments": FILES},
    ),
)


def composed(message):
    return mail.compose({**MESSAGE, **message}, "<1@mail.test>", NOW).content


def read(content):
    """Return the message as the standard library reads it; it finds nothing wrong with it."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    for part in message.walk():
        assert not part.defects
        assert not any(part[name].defects for name in part)
    return message


def header_text(content, name):
    """Return a header field with its encoded words decoded, by the older of the two readers."""
    raw = email.message_from_bytes(content)[name]
    return str(make_header(decode_header(raw))) if raw is not None else None


def canonical(text):
    """A text's lines end in CRLF, the last one too (RFC 2046 section 4.1.1)."""
    lines = re.sub("\r\n|\r|\n", "\n", text).removesuffix("\n") + "\n"
    return lines.replace("\n", "\r\n")


@given(MESSAGES)
def test_what_is_read_is_what_was_meant(meant):
    lists = {name: [it[2] for it in meant.get(name, ())] for name in ("to", "cc", "bcc")}
    whole = {**meant, "from": meant["from"][2], **lists}
    SCHEMA.validate(whole)
    made = mail.compose(whole, "<1@mail.test>", NOW)
    message = read(made.content)

    assert {name.lower() for name in message} <= FIELDS
    assert len(message.keys()) == len(set(message.keys()))
    assert header_text(made.content, "subject") == meant["subject"]
    for name in ("from", "to", "cc"):
        boxes = [meant["from"]] if name == "from" else meant.get(name, [])
        assert addresses(made.content, name) == [(box[0], box[1]) for box in boxes]
    assert made.sender == meant["from"][1]
    everybody = [box[1] for name in ("to", "cc", "bcc") for box in meant.get(name, ())]
    assert [*made.recipients] == [*dict.fromkeys(everybody)]

    for name, kind in (("text_body", "plain"), ("html_body", "html")):
        part = message.get_body((kind,))
        expected = canonical(meant[name]).encode() if name in meant else None
        assert (part and part.get_payload(decode=True)) == expected
    files = {part.get_filename(): part for part in message.iter_attachments()}
    attachments = meant.get("attachments", {})
    plain = {name for name in attachments if "=?" not in name}
    assert plain <= files.keys()
    assert len(files) == len(attachments)
    for name in plain:
        content = base64.b64decode(attachments[name]["content"])
        kind = attachments[name].get("content_type", "application/octet-stream")
        assert files[name].get_payload(decode=True) == content
        assert files[name].get_content_type() == kind


def addresses(content, name):
    """Return display names and addresses of a field, read by hand: see RFC 5322 section 3.4."""
    raw = email.message_from_bytes(content)[name]
    if raw is None:
        return []
    found = []
    for one in re.split(r",\r\n ", raw):
        if not one.endswith(">"):
            found.append(("", one))
            continue
        phrase, _, address = one[:-1].rpartition(" <")
        if phrase.startswith('"'):
            found.append((re.sub(r"\\(.)", r"\1", phrase[1:-1]), address))
        else:
            found.append((str(make_header(decode_header(phrase))), address))
    return found


@given(MESSAGES)
def test_it_is_seven_bits_in_lines_that_every_server_takes(meant):
    lists = {name: [it[2] for it in meant.get(name, ())] for name in ("to", "cc", "bcc")}
    content = composed({**meant, "from": meant["from"][2], **lists})
    assert content.isascii()
    assert b"\0" not in content
    assert content.endswith(b"\r\n")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


@given(st.text(ANY, max_size=60))
def test_no_field_of_the_header_can_end_it(text):
    """Even for what the schema refuses: each line begins with a field's name, or a blank."""
    printable = "".join(filter(str.isprintable, text))
    meant = {
        "subject": f"x{text}",
        "to": f'"{printable}" <b@mail.test>',
        "attachments": {f"x{text}": {"content": ""}},
    }
    content = composed(meant)
    heads = [content.partition(b"\r\n\r\n")[0]]
    heads += [part.partition(b"\r\n\r\n")[0] for part in content.split(b"\r\n--=_mixed\r\n")[1:]]
    for line in b"\r\n".join(heads).split(b"\r\n"):
        name = line.partition(b":")[0].decode().lower()
        assert line.startswith(b" ") or name in {*FIELDS, "content-disposition"}
        assert b"\r" not in line
        assert b"\n" not in line


@pytest.mark.parametrize(
    "mailbox", ["a\r\nBcc: b@mail.test", "X\n <a@mail.test>", "<a\0@mail.test>"]
)
def test_no_control_character_gets_in_by_an_address(mailbox):
    """The schema refuses it first, and that of accounts too."""
    with pytest.raises(ValueError, match="control characters"):
        composed({"to": mailbox})


@pytest.mark.parametrize(
    ("mailbox", "name", "address"),
    [
        ("a@mail.test", "", "a@mail.test"),
        ("<a@mail.test>", "", "a@mail.test"),
        ("Ops Team <a@mail.test>", "Ops Team", "a@mail.test"),
        ("J.  Doe <a@mail.test>", "J. Doe", "a@mail.test"),
        ('"Doe, J. \\"x\\""   Öps<a@mail.test>', 'Doe, J. "x" Öps', "a@mail.test"),
        ('"<evil@mail.test>" <a@mail.test>', "<evil@mail.test>", "a@mail.test"),
        ('"" <a@mail.test>', "", "a@mail.test"),
        ('"Doe, J. \\"x\\\\y\\"" <a@mail.test>', 'Doe, J. "x\\y"', "a@mail.test"),
        ("花子 🚨 <a@mail.test>", "花子 🚨", "a@mail.test"),
        ("=?utf-8?q?x?= <a@mail.test>", "=?utf-8?q?x?=", "a@mail.test"),
    ],
)
def test_display_names(mailbox, name, address):
    assert FORMATS["mailbox"].accepts(mailbox)
    content = composed({"to": [mailbox]})
    assert addresses(content, "to") == [(name, address)]
    (found,) = read(content)["to"].addresses
    assert (found.display_name, found.addr_spec) == (name, address)
    assert mail.address_of(mailbox) == address


def test_the_fields_of_a_message():
    content = composed({"subject": "Ünique", "cc": ["Öps <c@mail.test>", "d@mail.test"]})
    assert content == (
        b"Date: Thu, 26 Nov 2026 13:30:00 +0000\r\n"
        b"Message-ID: <1@mail.test>\r\n"
        b"From: a@mail.test\r\n"
        b"To: b@mail.test\r\n"
        b"Cc: =?utf-8?b?w5Zwcw==?= <c@mail.test>,\r\n"
        b" d@mail.test\r\n"
        b"Subject: =?utf-8?b?w5xuaXF1ZQ==?=\r\n"
        b"Auto-Submitted: auto-generated\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: quoted-printable\r\n"
        b"\r\n"
        b"y\r\n"
    )


def test_text_html_and_attachments_in_one_message():
    content = composed(
        {"html_body": "<b>ÿ</b>", "attachments": {"ä b.csv": {"content": "AAEC"}}},
    )
    message = read(content)
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/octet-stream",
    ]
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "ä b.csv"
    assert attached.get_content() == b"\x00\x01\x02"


@pytest.mark.parametrize("text", ["ж" * 10_000, "x" * 10_000, "a=ü\x1b[31m\x07" * 500, "."])
def test_long_lines_and_all_characters(text):
    content = composed({"text_body": text})
    assert max(map(len, content.split(b"\r\n"))) <= 78
    assert read(content).get_content() == text + "\r\n"


@pytest.mark.parametrize(
    ("text", "way"), [("naïve or not", "quoted-printable"), ("не так", "base64")]
)
def test_a_text_stays_readable_where_that_is_shorter(text, way):
    message = read(composed({"text_body": text * 100}))
    assert message["content-transfer-encoding"] == way


def test_a_file_name_longer_than_a_line():
    name = "дуже довга назва" * 15
    content = composed({"attachments": {name: {"content": ""}}})
    (attached,) = read(content).iter_attachments()
    assert attached.get_filename() == name
    assert max(map(len, content.split(b"\r\n"))) <= 78


# --- the schema ----------------------------------------------------------------------------------


def wrong(message):
    with pytest.raises(InvalidMessage) as refused:
        SCHEMA.validate({**MESSAGE, **message})
    return {name: [it.as_json() for it in found] for name, found in refused.value.details.items()}


@pytest.mark.parametrize("evil", ["\r", "\n", "\0", "\r\n", "\x85", "\u2028"])
@pytest.mark.parametrize(
    ("member", "place"),
    [
        ({"from": "a{0}@mail.test"}, "from"),
        ({"to": "X{0}Bcc: y <a@mail.test>"}, "to"),
        ({"cc": ["a@mail.test", "a@mail.test{0}"]}, "cc"),
        ({"bcc": '"a{0}"@mail.test'}, "bcc"),
        ({"subject": "x{0}Bcc: evil@mail.test"}, "subject"),
        ({"attachments": {"x{0}y": {"content": ""}}}, "attachments"),
        ({"attachments": {"xy{0}": {"content": ""}}}, "attachments"),
        ({"attachments": {"x": {"content": "AAA{0}"}}}, "attachments.x.content"),
        ({"attachments": {"x": {"content": "", "content_type": "text/csv{0}"}}}, None),
        ({"attachments": {"x": {"content": "", "content_type": "text/{0}csv"}}}, None),
    ],
)
def test_control_characters_are_refused_in_every_field(member, place, evil):
    filled = json.loads(json.dumps(member).replace("{0}", json.dumps(evil)[1:-1]))
    assert wrong(filled).keys() == {place or "attachments.x.content_type"}


def test_nul_is_refused_in_texts():
    assert wrong({"text_body": "x\0", "html_body": "\0"}).keys() == {"text_body", "html_body"}


@pytest.mark.parametrize(
    ("member", "place", "expected"),
    [
        ({"subject": "x" * 999}, "subject", "At most 998 characters"),
        ({"subject": ""}, "subject", "At least 1 characters"),
        ({"to": ["a@mail.test"] * 257}, "to", "An eMail address, or an array of at most 256"),
        ({"from": "x"}, "from", "An eMail address"),
        (
            {"attachments": {str(n): {"content": ""} for n in range(65)}},
            "attachments",
            "At most 64 of them",
        ),
        (
            {"attachments": {"x": {"content": "a-b="}}},
            "attachments.x.content",
            "Base64 (RFC 4648 section 4), without line breaks",
        ),
    ],
)
def test_limits_are_told(member, place, expected):
    assert wrong(member) == {place: [{"error": "Invalid value", "expected": expected}]}


@pytest.mark.parametrize("kind", ["multipart/mixed", "message/rfc822", "text/csv; charset=x", "x"])
def test_content_types_that_are_refused(kind):
    place = "attachments.x.content_type"
    assert wrong({"attachments": {"x": {"content": "", "content_type": kind}}}).keys() == {place}
