"""The shipped family files: each is whole, and true to vLLM and to the page that lists them."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from tests.catalog import samples
from xinfer.catalog import Catalog, Family
from xinfer.catalog.catalog import FAMILIES_FOLDER, read_file
from xinfer.catalog.template import ChatTemplate
from xinfer.messages import ThinkingMode

FILES = sorted(FAMILIES_FOLDER.glob("*.yaml"))
FAMILIES = list(Catalog.load().families.values())
SWITCHED = [family for family in FAMILIES if family.thinking.mode is ThinkingMode.SWITCH]
PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"


def registered_parsers(package: str, table: str) -> set[str]:
    """The names in one of vLLM's registries, read from its source: importing it would load torch."""
    vllm = importlib.util.find_spec("vllm")
    assert vllm is not None
    assert vllm.origin is not None
    tree = ast.parse((Path(vllm.origin).parent / package / "__init__.py").read_text(encoding="utf-8"))
    tables = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == table
    ]
    return set(ast.literal_eval(tables[0]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_one_whole_family_under_its_own_name(file: Path) -> None:
    family = read_file(file)
    assert file.stem == family.name.lower()
    assert {"chat", "generate"} & set(family.abilities)


def test_names_are_unique_whatever_their_case() -> None:
    assert len({family.name.casefold() for family in FAMILIES}) == len(FILES) == len(FAMILIES)


def test_parsers_are_registered_in_vllm() -> None:
    reasoning = registered_parsers("reasoning", "_REASONING_PARSERS_TO_REGISTER")
    tools = registered_parsers("tool_parsers", "_TOOL_PARSERS_TO_REGISTER")
    assert {family.reasoning_parser for family in FAMILIES} - {None} <= reasoning
    assert {family.tool_parser for family in FAMILIES} - {None} <= tools


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_hub_ids_tell_the_size_and_the_format(family: Family) -> None:
    for spec in (spec for spec in family.specs if not spec.bundled):
        for quantization in spec.quantizations:
            path = spec.path(quantization)
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", path)
            size = re.search(r"-E?(\d+(?:\.\d+)?)B", path, re.IGNORECASE)
            assert size is None or size[1] == spec.size_in_billions
            if spec.format in ("fp8", "awq", "gptq"):
                assert path.lower().endswith((spec.format, f"{spec.format}-{quantization}".lower()))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_spec_can_be_chosen(family: Family) -> None:
    keys = [(spec.size_in_billions, spec.format, one.lower()) for spec in family.specs for one in spec.quantizations]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("family", SWITCHED, ids=lambda family: family.name)
def test_the_switch_flips_a_template_of_the_familys_manner(family: Family) -> None:
    template = ChatTemplate(samples.OF_FAMILY.get(family.name, samples.QWEN3))
    switch = family.thinking_switch()
    on = template.prompt(**dict.fromkeys(switch.keywords, switch.on))
    off = template.prompt(**dict.fromkeys(switch.keywords, switch.off))
    assert on is not None
    assert off is not None
    assert on != off
    if switch.default is not None:
        assert template.prompt() == (on if switch.default else off)
    assert template.thinking == switch


def test_the_bundled_models_template_says_what_its_family_says() -> None:
    family = Catalog.load().family("tiny-chat")
    template = ChatTemplate((Path(family.specs[0].path("none")) / "chat_template.jinja").read_text(encoding="utf-8"))
    assert template.thinking == family.thinking_switch()
    assert (template.reasoning_parser, template.tool_parser) == (family.reasoning_parser, family.tool_parser)


def test_the_page_lists_exactly_these_families() -> None:
    text = PAGE.read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| (\d+) \| ([^|]+) \|$", text, re.MULTILINE)
    assert [tuple(cell.strip() for cell in row) for row in listed] == [row_of(family) for family in sorted_families()]


def sorted_families() -> list[Family]:
    return sorted(FAMILIES, key=lambda family: family.name.casefold())


def row_of(family: Family) -> tuple[str, ...]:
    sizes = ", ".join(dict.fromkeys(spec.size_in_billions for spec in family.specs))
    thinking = {
        ThinkingMode.SWITCH: f"`{', '.join(family.thinking.keywords)}`",
        ThinkingMode.ALWAYS: "always",
        ThinkingMode.NEVER: "never",
    }[family.thinking.mode]
    return family.name, sizes, ", ".join(family.abilities), str(family.context_length), thinking
