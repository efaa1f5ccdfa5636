"""What a service says is shown without the account's secrets, in whatever form they come back."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account import Account, Ref
from signals_proxy.delivery.mask import Masks
from signals_proxy.secret import Secret

MASK = "<secret>"


def masks(*borrowed, **secrets):
    made = {name: Secret(value) for name, value in secrets.items()}
    return Masks(Account(Ref("webhook", "a"), {}, made), [Secret(it) for it in borrowed])


def test_nothing_is_masked_without_a_reason():
    assert masks().text("550 no such user") == "550 no such user"
    assert masks(password="hunter2").text("550 no such user") == "550 no such user"


SECRET = 'pa/ss "wörd"+?\\%'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET.upper(),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        html.escape(SECRET),
        html.escape(SECRET, quote=False),
    ],
)
def test_forms_of_a_secret(form):
    assert masks(password=SECRET).text(f"what is {form}?") == f"what is {MASK}?"


@given(st.binary(max_size=5), st.text(min_size=8, max_size=20), st.binary(max_size=5))
def test_base64_of_a_text_that_holds_a_secret(before, secret, behind):
    """But for the letters at both ends that depend on its neighbours as well."""
    octets = secret.encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + octets + behind).decode()
        shown = masks(password=secret).text(text)
        assert MASK in shown
        assert len(shown.replace(MASK, "")) <= (len(before) + len(behind)) * 8 / 6 + 7


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://hooks.test/services/T0/B0/secretpart", "no secretpart here"),
        ("https://hooks.test/services/T0/B0/x", "POST /services/T0/B0/x"),
        ("https://a.test/run?sig=s%2Fcretsig&v=1", "sig s/cretsig"),
        ("https://a.test/run?sig=s%2Fcretsig&v=1", "sig s%2Fcretsig"),
        ("https://a.test/run?sig=s%2Fcretsig&v=1", "GET /run?sig=s%2Fcretsig&v=1"),
    ],
)
def test_parts_of_a_secret_url(url, said):
    assert MASK in masks(url=url).text(said)


def test_the_host_of_a_secret_url_is_shown():
    assert masks(url="https://hooks.test/x").text("to hooks.test") == "to hooks.test"


def test_objects_are_secret_in_all_their_texts():
    auth = {"type": "oauth2", "client_id": "client", "client_secret": "hunter2"}
    assert masks(auth=auth).text("client has hunter2") == f"{MASK} has {MASK}"


def test_what_was_borrowed_is_secret_too():
    assert masks("access-token", password="hunter2").text("is access-token") == f"is {MASK}"


def test_blanks_that_were_drawn_together():
    """As those of a mail server's reply are."""
    assert masks(password="pass  word").text("no pass word here") == f"no {MASK} here"


def test_secrets_that_overlap():
    assert masks(password="hunter2", token="ter2go").text("a hunter2go b") == f"a {MASK} b"
    assert masks(password="hunter2", token="unte").text("a hunter2 b") == f"a {MASK} b"


def test_the_longest_form_goes_first():
    assert masks(password="hunter", token="hunter2").text("hunter2") == MASK


def test_a_text_with_a_secret_too_short_to_be_cut_out_is_not_shown():
    assert masks(password="abc").text("what is abc?") == MASK
    assert masks(password="abc").text("what is it?") == "what is it?"
    assert masks(password="abc", token="hunter2").text("hunter2") == MASK


@pytest.mark.parametrize("secret", ["a" * 4095 + "b", "aaaa", "ab" * 2000])
def test_no_secret_is_slow_to_look_for(secret):
    """By regular expressions it would take minutes."""
    shown = [masks(password=secret).text(text * 60_000) for text in ("a", "ab") for _ in range(20)]
    assert len(shown) == 40


def test_of_very_many_texts_the_first_are_shown():
    shown = masks().answer({"errors": ["x" * 32_000] * 100})["errors"]
    assert shown == ["x" * 1000 + "…"] * 4 + [MASK] * 96


@given(st.text())
def test_control_characters_are_replaced(text):
    assert masks().text(text + "\r\n\x85\u2028").isprintable() or "\n" in text + "\n"
    shown = masks().text(text[:900] + "\r\0\x85\u2028\x1b")
    assert not set("\r\0\x85\u2028\x1b") & set(shown)


def test_long_texts_are_cut_behind_the_mask():
    """Half of a secret would not be found."""
    shown = masks(password="hunter2").text("x" * 996 + "hunter2" + "y" * 100)
    assert shown == "x" * 996 + MASK[:4] + "…"


def test_answers_are_masked_everywhere():
    answer = {
        "errors": {"hunter2": ["hunter2", {"a": "hunter2"}], "n": 1, "none": None, "yes": True},
        "key": "OPS-1",
    }
    assert masks(password="hunter2").answer(answer) == {
        "errors": {MASK: [MASK, {"a": MASK}], "n": 1, "none": None, "yes": True},
        "key": "OPS-1",
    }


def test_answers_are_cut():
    answer = {"list": ["x"] * 200, "object": {str(n): n for n in range(200)}}
    shown = masks().answer(answer)
    assert (len(shown["list"]), len(shown["object"])) == (100, 100)


def test_the_names_of_the_parts_are_ours():
    assert masks(password="status").answer({"status": 404}) == {"status": 404}


def test_the_recipients_of_a_message_are_ours():
    """They are not masked, not counted, and none is left out."""
    replies = {f"hunter2{number}@mail.test": "550 hunter2" for number in range(256)}
    shown = masks(password="hunter2").answer({"refused": replies})["refused"]
    assert shown == dict.fromkeys(replies, f"550 {MASK}")
    long = {f"{'x' * 1000}{number}@mail.test": "550 no" for number in range(256)}
    assert masks().answer({"refused": long}) == {"refused": long}


@pytest.mark.parametrize("before", ["", "c", "cl"])
def test_base64_of_a_secret_that_was_percent_encoded(before):
    """So a client's secret travels to a token URL."""
    text = base64.b64encode(f"{before}:{quote_plus(SECRET)}".encode()).decode()
    shown = masks(password=SECRET).text(text)
    assert MASK in shown
    assert len(shown.replace(MASK, "")) <= 8


def test_nothing_is_seen_of_the_masks_themselves():
    assert "hunter2" not in repr(masks(password="hunter2"))
