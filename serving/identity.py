"""Who the customer is: a signed token that the shop's own login gives out, never the model and never the text.

A token names its key (`kid`), whom it is for (`aud`), who gave it out (`iss`) and until when it holds (`exp`). Not covered:
the keys (`serving/customer_keys.py`), taking back a single token before it expires.
"""

import time
from collections.abc import Mapping
from typing import Any

import jwt

from serving.customer_keys import CustomerKeys, Key
from serving.errors import Unauthorized

ISSUER = "kefu"
DEMO_CUSTOMER = "demo"
TOKEN_LIFETIME_S = 3600
LEEWAY_S = 30  # by which clocks may differ
MAX_CUSTOMER_LENGTH = 128


def mint(customer: str, keys: CustomerKeys, lifetime_s: int = TOKEN_LIFETIME_S) -> str:
    """A token that says who the customer is, for `lifetime_s` seconds, signed with the newest key of ours."""
    now = int(time.time())
    claims = {"sub": customer, "aud": keys.audience, "iss": ISSUER, "iat": now, "exp": now + lifetime_s}
    key = keys.signing
    return jwt.encode(claims, key.secret, key.jwk.algorithm_name, headers={"kid": key.id})


def customer_of(token: str, keys: CustomerKeys) -> str:
    """The customer that a token names.

    Raises:
        Unauthorized: it is not signed with a key that holds, has expired, is for or from somebody else, or lacks a claim.
    """
    try:
        id = jwt.get_unverified_header(token).get("kid")
    except jwt.InvalidTokenError as error:
        raise _invalid() from error
    for key in keys.now().meant(id, time.time()):
        try:
            claims = _claims(token, key, keys.audience)
        except jwt.ExpiredSignatureError as error:
            raise Unauthorized(
                "the customer token has expired; sign in again", code="customer_token_expired"
            ) from error
        except jwt.InvalidTokenError:
            continue
        return _customer(claims)
    raise _invalid()


def _claims(token: str, key: Key, audience: str) -> Mapping[str, Any]:
    """A token's claims by one key, and by no other algorithm than that key's."""
    claims: Mapping[str, Any] = jwt.decode(
        token,
        key.jwk.key,
        algorithms=[key.jwk.algorithm_name],
        audience=audience,
        issuer=key.issuer,
        leeway=LEEWAY_S,
        options={"require": ["sub", "exp", "aud"]},
    )
    if key.issuer is None and claims.get("iss", ISSUER) != ISSUER:  # a login that shares our secret may leave it out
        raise jwt.InvalidIssuerError
    return claims


def _customer(claims: Mapping[str, Any]) -> str:
    customer = claims["sub"]
    if not isinstance(customer, str) or not 0 < len(customer) <= MAX_CUSTOMER_LENGTH:
        raise Unauthorized("the customer token names no customer", code="customer_token_invalid")
    return customer


def _invalid() -> Unauthorized:
    return Unauthorized("X-Customer-Token is not a valid customer token", code="customer_token_invalid")
