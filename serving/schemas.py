"""`python -m serving.schemas [--all | NAME...]`: writes `data/tools.json` from the typed functions.

Without a name it writes the tools that the file lists already. Training rows hold the schemas as they stand there: where one
changes, the next release must be trained anew.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from data.errors import BadInput
from data.shop import Shop, dump_tools
from serving.tool import Tool
from serving.toolset import TOOLS


def schemas(names: Sequence[str] | None = None, tools: Sequence[Tool] = TOOLS) -> list[dict[str, Any]]:
    """The schemas of the named tools, or of all, in the order of the tuple.

    Raises:
        BadInput: there is no function of a name.
    """
    known = {tool.name: tool.schema for tool in tools}
    missing = [name for name in names or () if name not in known]
    if missing:
        raise BadInput(f"no tool {', '.join(missing)} in serving/toolset.py; it has {', '.join(known)}")
    return [schema for name, schema in known.items() if names is None or name in names]


def main(arguments: Sequence[str] | None = None, shop: Shop | None = None) -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(prog="serving.schemas", description="Write data/tools.json from the functions.")
    parser.add_argument("names", nargs="*", help="the tools to write; without any, those that the file lists")
    parser.add_argument("--all", action="store_true", help="write every tool")
    chosen = parser.parse_args(arguments)
    shop = shop or Shop.default()
    names = None if chosen.all else chosen.names or list(shop.tools)
    (shop.folder / "tools.json").write_text(dump_tools(schemas(names)), encoding="utf-8")


if __name__ == "__main__":
    main()
