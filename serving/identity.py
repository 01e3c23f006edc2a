"""Who the customer is: a signed token that the shop's own login gives out, never the model and never the text.

The key is a file below `$KEFU_HOME`, readable by its owner only. Not covered: rotation of keys.
"""

import os
import secrets
import time
from pathlib import Path

import jwt

from data.artifact import home
from serving.errors import Unauthorized

ALGORITHM, AUDIENCE = "HS256", "kefu"
DEMO_CUSTOMER = "demo"
TOKEN_LIFETIME_S = 3600
MAX_CUSTOMER_LENGTH = 128


def customer_key(path: Path | None = None) -> bytes:
    """The key that signs customer tokens; made on first use, mode 0600.

    `path` defaults to `$KEFU_HOME/customer-token.key`.
    """
    path = path or home() / "customer-token.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(32).encode())
        try:
            os.link(temporary, path)  # of two processes that start at once, one wins and both read the same key
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_bytes()


def mint(customer: str, key: bytes, lifetime_s: int = TOKEN_LIFETIME_S) -> str:
    """A token that says who the customer is, for `lifetime_s` seconds."""
    now = int(time.time())
    claims = {"sub": customer, "aud": AUDIENCE, "iat": now, "exp": now + lifetime_s}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def customer_of(token: str, key: bytes) -> str:
    """The customer that a token names.

    Raises:
        Unauthorized: it is not signed with our key, has expired, or lacks a claim.
    """
    try:
        claims = jwt.decode(
            token, key, algorithms=[ALGORITHM], audience=AUDIENCE, options={"require": ["sub", "exp", "aud"]}
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthorized("the customer token has expired; sign in again", code="customer_token_expired") from error
    except jwt.InvalidTokenError as error:
        raise Unauthorized("X-Customer-Token is not a valid customer token", code="customer_token_invalid") from error
    customer = claims["sub"]
    if not isinstance(customer, str) or not 0 < len(customer) <= MAX_CUSTOMER_LENGTH:
        raise Unauthorized("the customer token names no customer", code="customer_token_invalid")
    return customer
