"""A release is read whole and verified, or refused."""

import json
import shutil
from pathlib import Path

import pytest

from data.chat import render
from data.errors import BadInput
from data.schema import Message
from serving.release import Release
from serving.tokenizer import ServedTokenizer


def test_a_release_gives_its_parts(release: Release) -> None:
    opened = Release.open(release.folder)
    assert opened.digest == release.digest and opened.info.name == "smollm2-135m"
    assert [tool["function"]["name"] for tool in opened.tools] == ["query_order_status", "update_delivery_address"]
    assert opened.recipe.serve.history == 4096 and len(opened.taxonomy.names) == 25
    assert opened.faq and opened.prompts.intent
    assert ServedTokenizer.of(opened).count("héllo") == 6


@pytest.mark.parametrize("damage", ["prompts/intent.md", "faq.yaml", "release.json", "manifest.json"])
def test_a_damaged_release_is_refused(release: Release, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "release"
    shutil.copytree(release.folder, folder)
    (folder / damage).write_text("x")
    with pytest.raises(BadInput):
        Release.open(folder)


def test_a_release_without_a_tokenizer_or_a_description_says_so(release: Release, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    shutil.copytree(release.folder, folder)
    (folder / "model" / "tokenizer.json").write_text("{}")
    (folder / "release.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(BadInput, match="tokenizer"):
        ServedTokenizer.of(Release(folder))
    with pytest.raises(BadInput, match=r"release\.json"):
        _ = Release(folder).info


def test_the_checkpoint_s_own_template_is_rendered(release: Release, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    shutil.copytree(release.folder, folder)
    asked = [Message(role="user", content="hi")]
    assert render(ServedTokenizer.of(Release(folder)), asked).startswith("<|im_start|>user\nhi<|im_end|>")
    (folder / "model" / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": "[{{ messages[0].content }}]"})
    )
    assert render(ServedTokenizer.of(Release(folder)), asked) == "[hi]"
    (folder / "model" / "chat_template.jinja").write_text("{{ raise_exception('no') if tools else messages | tojson }}")
    tokenizer = ServedTokenizer.of(Release(folder))
    assert "订单" in render(tokenizer, [Message(role="user", content="订单")])
    with pytest.raises(BadInput, match="refuses this conversation: no"):
        render(tokenizer, asked, tools=[{}])
