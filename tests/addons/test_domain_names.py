"""What people type as a domain's name: taken, tidied, or refused with words of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.addons import domain_names
from portal.addons.domain_names import Rules, parse
from portal.kit.errors import Invalid

OURS = Rules(own=("lumashop.com", "portal.lumashop.com"), trying=True)
LIVE = Rules(own=("lumashop.com",), trying=False)


@pytest.mark.parametrize(
    ("typed", "ascii_name", "shown"),
    [
        ("myshop.com", "myshop.com", "myshop.com"),
        ("MyShop.COM.", "myshop.com", "myshop.com"),
        ("  myshop.com\n", "myshop.com", "myshop.com"),
        ("https://www.MyShop.com/shop?a=1#top", "www.myshop.com", "www.myshop.com"),
        ("//myshop.com/", "myshop.com", "myshop.com"),
        ("ｍｙｓｈｏｐ。ｃｏｍ", "myshop.com", "myshop.com"),
        ("bücher.de", "xn--bcher-kva.de", "bücher.de"),
        ("BÜCHER.DE", "xn--bcher-kva.de", "bücher.de"),
        ("xn--bcher-kva.de", "xn--bcher-kva.de", "bücher.de"),
        # IDNA 2008 keeps the sharp s, which IDNA 2003 made into ss: another name, of somebody else.
        ("fußball.de", "xn--fuball-cta.de", "fußball.de"),
        ("例え.jp", "xn--r8jz45g.jp", "例え.jp"),
        ("日本語ひらがなカタカナabc.jp", "xn--abc-o73b4fvb9jyka3rsey825eqqdvv8n.jp", "日本語ひらがなカタカナabc.jp"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai", "пример.рф"),
        ("иван.com", "xn--80adrw.com", "иван.com"),
        ("соса.рф", "xn--80a1aib.xn--p1ai", "соса.рф"),
        ("me.github.io", "me.github.io", "me.github.io"),
        ("shop.test", "shop.test", "shop.test"),
        ("a" * 63 + ".com", "a" * 63 + ".com", "a" * 63 + ".com"),
    ],
)
def test_what_is_a_name_is_taken(typed: str, ascii_name: str, shown: str) -> None:
    name = parse(typed, OURS)
    assert (name.ascii, name.shown) == (ascii_name, shown)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "domain_empty"),
        (" \t ", "domain_empty"),
        ("https://", "domain_empty"),
        ("#", "domain_empty"),
        ("my shop.com", "domain_space"),
        ("my\0shop.com", "domain_space"),
        ("alice@myshop.com", "domain_address"),
        ("https://alice:pw@myshop.com/", "domain_address"),
        ("myshop.com:8080", "domain_port"),
        ("192.168.0.1", "domain_ip"),
        ("http://192.168.0.1:80/", "domain_ip"),
        ("::1", "domain_ip"),
        ("[2001:db8::1]", "domain_ip"),
        ("http://[2001:db8::1]/", "domain_ip"),
        ("0x7f.1", "domain_ip"),
        ("2130706433", "domain_ip"),
        ("localhost", "domain_single"),
        ("myshop", "domain_single"),
        ("my_shop.com", "domain_underscore"),
        ("-myshop.com", "domain_hyphen"),
        ("myshop-.com", "domain_hyphen"),
        ("ab--cd.com", "domain_characters"),
        ("my!shop.com", "domain_characters"),
        ("😀.com", "domain_characters"),
        ("xn--a.com", "domain_characters"),
        ("my..shop.com", "domain_dots"),
        (".com", "domain_dots"),
        ("myshop.com..", "domain_dots"),
        ("a" * 64 + ".com", "domain_label"),
        # Five labels of 60 with their dots are 305 characters, with com 308: more than 253.
        (("a" * 60 + ".") * 5 + "com", "domain_too_long"),
        ("x" * 300, "domain_too_long"),
        ("x" * 100_000, "domain_too_long"),
        # 60 letters typed are more than 63 as ASCII writes them (xn-- and what says where the letters stand).
        ("ü" * 60 + ".de", "domain_label"),
        # Six labels of 40 letters are 6 × 41 + 2 = 248 typed; as ASCII each has 47, so 6 × 48 + 2 = 290.
        (("aü" * 20 + ".") * 6 + "de", "domain_too_long"),
        ("com", "domain_single"),
        ("co.uk", "domain_suffix"),
        ("github.io", "domain_suffix"),
        ("shop.nosuchend", "domain_end"),
        ("shop.local", "domain_reserved"),
        ("shop.onion", "domain_reserved"),
        ("1.0.0.127.in-addr.arpa", "domain_reserved"),
        ("lumashop.com", "domain_platform"),
        ("alice.LumaShop.com", "domain_platform"),
        ("xn--lumashop-.com", "domain_hyphen"),
        ("lumash0p.com", "domain_confusable"),
        ("1umashop.net", "domain_confusable"),
        ("lurnashop.com", "domain_confusable"),
        ("luma-shop.com", "domain_confusable"),
        ("lümashop.de", "domain_confusable"),
        ("www.iumashop.com", "domain_confusable"),
        ("lumаshop.com", "domain_mixed"),  # the а is Cyrillic
        ("аbс.рф", "domain_mixed"),
        ("аррӏе.com", "domain_lookalike"),  # Cyrillic from end to end
    ],
)
def test_what_is_no_name_of_ones_own_is_refused_at_its_field(typed: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(typed, OURS)
    assert refused.value.code == code
    assert list(refused.value.fields) == ["domain"] and refused.value.fields["domain"]


@pytest.mark.parametrize("typed", ["shop.test", "shop.example", "example.com", "www.example.org"])
def test_names_for_trying_are_refused_where_it_is_real(typed: str) -> None:
    assert parse(typed, OURS).ascii == typed
    with pytest.raises(Invalid) as refused:
        parse(typed, LIVE)
    assert refused.value.code == "domain_reserved"


def test_names_that_only_resemble_words_of_ours_are_fine() -> None:
    # Only the registered part counts, and only as a whole: a street of shops is no forgery.
    for typed in ("lumashops.com", "mylumashop.com", "lumashop.myname.com", "luma.com"):
        assert parse(typed, OURS).ascii == typed


@pytest.mark.parametrize(
    ("typed", "registrable", "host", "suffix", "apex"),
    [
        ("myshop.com", "myshop.com", "@", "com", True),
        ("www.myshop.co.uk", "myshop.co.uk", "www", "co.uk", False),
        ("a.b.myshop.de", "myshop.de", "a.b", "de", False),
        ("bücher.de", "xn--bcher-kva.de", "@", "de", True),
        ("www.shop.test", "shop.test", "www", "test", False),
    ],
)
def test_the_parts_of_a_name(typed: str, registrable: str, host: str, suffix: str, apex: bool) -> None:
    name = parse(typed, OURS)
    assert (name.registrable, name.host, name.suffix, name.is_apex) == (registrable, host, suffix, apex)


def test_the_rules_come_from_where_the_portal_is() -> None:
    assert domain_names.rules_for("lumashop.com", "https://portal.lumashop.com:8443", trying=False) == Rules(
        ("lumashop.com", "portal.lumashop.com"), False
    )
    # An address or a bare word is nobody's name, so it protects nothing.
    assert domain_names.rules_for("", "http://127.0.0.1:8000", trying=True) == Rules((), True)


LABEL = st.text("abcXYZ019-üßéбжαλ例えし漢字한글ａ", min_size=1, max_size=12)
NAMES = st.builds(lambda labels, end: ".".join([*labels, end]), st.lists(LABEL, min_size=1, max_size=3),
                  st.sampled_from(["com", "de", "co.uk", "jp", "рф", "test", "COM."]))  # fmt: skip


@given(st.one_of(NAMES, st.text(max_size=60)))
def test_parsing_what_was_parsed_changes_nothing(typed: str) -> None:
    try:
        name = parse(typed, OURS)
    except Invalid:
        return  # anything but Invalid would fail here
    assert parse(name.ascii, OURS) == name
    assert parse(name.shown, OURS) == name
    assert name.ascii.isascii() and name.ascii == name.ascii.lower() and len(name.ascii) <= 253
