"""Customer tokens: signed by our key, expiring; the key is ours alone."""

import stat
from pathlib import Path

import jwt
import pytest

from serving.errors import Unauthorized
from serving.identity import customer_key, customer_of, mint

KEY, OTHER = b"a" * 32, b"b" * 32


def test_a_minted_token_names_its_customer() -> None:
    assert customer_of(mint("demo", KEY), KEY) == "demo"


@pytest.mark.parametrize(
    "token",
    [
        mint("demo", OTHER),
        mint("demo", KEY, lifetime_s=-1),
        mint("", KEY),
        mint("x" * 200, KEY),
        jwt.encode({"sub": "demo", "aud": "kefu"}, KEY, algorithm="HS256"),
        jwt.encode({"sub": "demo", "aud": "else", "exp": 9_999_999_999}, KEY, algorithm="HS256"),
        jwt.encode({"sub": "demo", "aud": "kefu", "exp": 9_999_999_999}, "", algorithm="none"),
        "",
        "a.b.c",
    ],
)
def test_other_tokens_do_not_hold(token: str) -> None:
    with pytest.raises(Unauthorized):
        customer_of(token, KEY)


def test_the_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "home" / "customer-token.key"
    key = customer_key(path)
    assert customer_key(path) == key and len(key) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]
