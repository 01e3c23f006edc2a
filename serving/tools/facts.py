"""What a tool found or did: a JSON object, as the model reads it."""

import json
from typing import Annotated, Any

OrderId = Annotated[str, "order number"]


def facts(**found: Any) -> str:
    """A JSON object; None is left out."""
    return json.dumps({name: value for name, value in found.items() if value is not None}, ensure_ascii=False)


def facts_of(told: str) -> dict[str, Any]:
    """What a tool told, read back; empty if it is no JSON object, as a team's own tool may tell anything."""
    try:
        found = json.loads(told)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
