"""A gateway in a process of its own, with a release that has no weights: `python -m tests.serving.bare_gateway`."""

import argparse
from pathlib import Path

import uvicorn

from data.artifact import ArtifactStore
from serving.database import Database
from serving.gateway import create_app
from serving.orders import OrderStore, ShopTables, read_orders
from serving.settings import GatewaySettings
from tests.serving.conftest import KEYS, ROOT, make_release


def main() -> None:
    """Serves until it is stopped."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--engine", type=int, required=True)
    options.add_argument("--folder", type=Path, required=True)
    given = options.parse_args()
    shop = f"sqlite:///{given.folder}/shop.db"
    database = Database.open(shop, ShopTables)
    OrderStore(database).seed(read_orders(ROOT / "data" / "seed" / "orders.jsonl"))
    database.close()
    settings = GatewaySettings(
        release=make_release(ArtifactStore(given.folder)),
        engine_base_url=f"http://127.0.0.1:{given.engine}",
        customer_keys=KEYS,
        shop_url=shop,
        conversations_url=f"sqlite:///{given.folder}/conversations.db",
        predict_intent=False,  # it would be a second engine call, after the answer
    )
    uvicorn.run(create_app(settings), host="127.0.0.1", port=given.port, log_level="warning", timeout_keep_alive=60)


if __name__ == "__main__":
    main()
