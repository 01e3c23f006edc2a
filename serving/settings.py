"""What an endpoint is opened with, and who a request comes from by its headers.

API keys are off on loopback and required elsewhere. Not covered: creating and storing keys.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from data.errors import BadInput
from serving.database import database_url
from serving.embedder import Embedder
from serving.errors import Unauthorized
from serving.identity import DEMO_CUSTOMER, customer_of
from serving.memory import Owner
from serving.release import Release


@dataclass(frozen=True)
class GatewaySettings:
    """Everything that `create_app` needs; nothing is read from anywhere else afterwards."""

    release: Release
    engine_base_url: str  # without /v1
    customer_key: bytes = field(repr=False)
    engine_model: str = "kefu"  # the name that the engine serves the model under
    shop_url: str = field(default_factory=lambda: database_url("shop.db"))
    conversations_url: str = field(default_factory=lambda: database_url("conversations.db"))
    host: str = "127.0.0.1"
    demo: bool = False  # requests without a customer token come from the demo customer; loopback only
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    stale: bool = False  # served from the last verified copy because the registry was away
    predict_intent: bool = True
    engine_timeout_s: float = 120.0
    max_body_bytes: int = 1 << 20
    embedder: Embedder | None = None  # of the FAQ; None: as the environment says
    champion: Callable[[], Release] | None = None  # the release that should serve now, to take a new FAQ from

    def __post_init__(self) -> None:
        """Raises `BadInput` where the settings would open the shop to anybody."""
        if _is_loopback(self.host):
            return
        if self.demo:
            raise BadInput(f"--demo signs everybody in as one customer; it is for loopback only, not for {self.host}")
        if not self.api_keys:
            raise BadInput(f"bound to {self.host}, the endpoint needs at least one API key; on 127.0.0.1 it needs none")

    def owner(self, headers: Mapping[str, str]) -> Owner:
        """Who sends a request: the API key's fingerprint and the signed-in customer.

        Raises:
            Unauthorized: a key is required and missing or wrong, or the customer token does not hold.
        """
        key = self._key(headers.get("authorization", "")) if self.api_keys else None
        token = headers.get("x-customer-token")
        customer = customer_of(token, self.customer_key) if token else DEMO_CUSTOMER if self.demo else None
        return Owner(customer, key)

    @property
    def model_names(self) -> tuple[str, ...]:
        """The names that the endpoint answers to, each once."""
        info = self.release.info
        return tuple(dict.fromkeys(("kefu", "Qwen3-1.7B", info.name, *info.model_names)))

    def _key(self, authorization: str) -> str:
        scheme, _, given = authorization.partition(" ")
        digest = _fingerprint(given.strip())
        known = [hmac.compare_digest(digest, _fingerprint(key)) for key in self.api_keys]
        if scheme.lower() != "bearer" or not any(known):
            raise Unauthorized("a valid API key is required: Authorization: Bearer KEY", code="invalid_api_key")
        return digest


def _fingerprint(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
