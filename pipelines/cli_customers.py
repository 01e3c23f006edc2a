"""`kefu customers`: the keys that say who a customer is, and tokens to try the endpoint with."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from pipelines.answer import answering
from pipelines.cli_options import Json
from pipelines.screen import screen

app = typer.Typer(help="Keys and tokens that say who a customer is.", no_args_is_help=True)


@app.command("keys")
def keys(json: Json = False) -> None:
    """List the keys that customer tokens are accepted from; the first one signs."""
    with answering(json) as answer:
        from serving.customer_keys import CustomerKeys

        answer.body = _shown(CustomerKeys.open().now())


@app.command("rotate-key")
def rotate_key(
    grace_hours: Annotated[
        float, typer.Option(min=0, help="How long older keys still hold; 0 after a leak, which signs everybody out.")
    ] = 24,
    json: Json = False,
) -> None:
    """Make a new key that signs from now on. A running endpoint takes it over by itself."""
    with answering(json) as answer:
        from serving.customer_keys import rotate

        answer.body = _shown(rotate(grace_s=grace_hours * 3600))


@app.command("token")
def token(
    customer: Annotated[str, typer.Argument(help="Whom the token names.")],
    minutes: Annotated[int, typer.Option(min=1, help="How long it holds.")] = 60,
    json: Json = False,
) -> None:
    """Sign a token for a customer, for the header X-Customer-Token."""
    with answering(json) as answer:
        from serving.customer_keys import CustomerKeys
        from serving.identity import mint

        made = mint(customer, CustomerKeys.open(), minutes * 60)
        screen().print(made, soft_wrap=True, markup=False, highlight=False)
        answer.body = {"customer": customer, "token": made, "expires_at": _day(time.time() + minutes * 60)}


def _shown(found: Any) -> dict[str, Any]:
    """Shows a key set without its secrets; the body to answer with."""
    rows = [
        {
            "kid": key.id,
            "algorithm": key.jwk.algorithm_name,
            "signs": key is found.own[0],
            "made_at": _day(key.created_at) if key.created_at else None,
            "retires_at": _day(key.retires_at) if key.retires_at is not None else None,
            "issuer": key.issuer,
        }
        for key in (*found.own, *found.shops)
    ]
    for row in rows:
        told = "signs" if row["signs"] else f"holds until {row['retires_at'] or 'it is taken away'}"
        screen().print(f"{row['kid'] or '(no id)':<20} {row['algorithm']:<6} {told}", soft_wrap=True)
    return {"keys": rows}


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
