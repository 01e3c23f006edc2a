"""What the tests of the pipelines share: a tiny model with its stages, releases in a real MLflow store, and one
that a gateway serves."""

from tests.pipelines.registered import empty_store, ledger, make_release, register, registry, rollout  # noqa: F401
from tests.pipelines.stage import oracle, small_recipe, small_shop  # noqa: F401
from tests.pipelines.tiny import (  # noqa: F401
    tiny_adapter,
    tiny_base,
    tiny_checkpoint,
    tiny_corpus,
    tiny_merged,
    tiny_store,
)
from tests.serving.conftest import release  # noqa: F401
