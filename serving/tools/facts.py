"""What a tool found or did, as the model reads it. Not covered: reading it back (`serving/toolset.py`)."""

import json
from typing import Annotated, Any

OrderId = Annotated[str, "order number"]


def facts(**found: Any) -> str:
    """A JSON object; None is left out."""
    return json.dumps({name: value for name, value in found.items() if value is not None}, ensure_ascii=False)
