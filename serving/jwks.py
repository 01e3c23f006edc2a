"""Keys in files: JSON Web Key Sets, and public keys in PEM. Not covered: what they are for (`serving/customer_keys.py`)."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from data.errors import BadInput

PUBLIC_ALGORITHMS = ("RS256", "ES256")
MIN_RSA_BITS = 2048


def public_keys(path: Path) -> list[tuple[str | None, PyJWK]]:
    """The public keys of a file with their ids.

    Raises:
        BadInput: one is private, is for another algorithm, or is too short.
    """
    return [_public(path, jwk) for jwk in read_set(path)]


def _public(path: Path, jwk: dict[str, Any]) -> tuple[str | None, PyJWK]:
    if "d" in jwk:
        raise BadInput(f"{path} holds a private key; give the public part only")
    algorithm = jwk.get("alg") or {"RSA": "RS256", "EC": "ES256"}.get(str(jwk.get("kty")))
    if algorithm not in PUBLIC_ALGORITHMS:
        raise BadInput(
            f"{path}: expected keys for {' or '.join(PUBLIC_ALGORITHMS)}, found {algorithm or jwk.get('kty')}"
        )
    found = read_key(path, jwk, algorithm)
    if isinstance(found.key, RSAPublicKey) and found.key.key_size < MIN_RSA_BITS:
        raise BadInput(f"{path}: an RSA key has at least {MIN_RSA_BITS} bits; this one has {found.key.key_size}")
    return jwk.get("kid"), found


def read_key(path: Path, jwk: dict[str, Any], algorithm: str) -> PyJWK:
    """A key of a file, for one algorithm.

    Raises:
        BadInput: it is none; the message holds nothing of it.
    """
    try:
        return PyJWK(jwk, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError) as error:  # whose message may hold the key
        raise BadInput(f"{path}: not a JSON Web Key for {algorithm} ({type(error).__name__})") from None


def read_set(path: Path) -> list[dict[str, Any]]:
    """The keys of a set, a single JSON Web Key, or the public key of a PEM file.

    Raises:
        BadInput: it is none of these, or is not readable.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = _pem(text) if text.lstrip().startswith("-----BEGIN") else json.loads(text)
        keys = found.get("keys", [found])
        if keys and all(isinstance(key, dict) for key in keys):
            return list(keys)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadInput(
            f"{path}: expected a JSON Web Key Set, or a public key in PEM ({type(error).__name__})"
        ) from None
    raise BadInput(f"{path}: expected a JSON Web Key Set with at least one key")


def _pem(text: str) -> dict[str, Any]:
    key = load_pem_public_key(text.encode())
    if isinstance(key, RSAPublicKey):
        return dict(RSAAlgorithm.to_jwk(key, as_dict=True))
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return dict(ECAlgorithm.to_jwk(key, as_dict=True))
    raise ValueError("neither RSA nor P-256")
