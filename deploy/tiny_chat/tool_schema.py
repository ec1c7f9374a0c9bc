"""Tool definitions in the OpenAI shape, with the variety that callers show in names and descriptions."""

from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from tiny_chat.dialogue import Tool, load_data

ToolKind = Literal["weather", "time", "calculator"]
TOOL_KINDS: tuple[ToolKind, ...] = ("weather", "time", "calculator")
TOOLS: dict[str, Any] = load_data("tools")


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool of a kind the model can use, with the names it goes by this time."""

    kind: ToolKind
    name: str
    argument: str
    schema: Tool


def tool_spec(rng: Random, kind: ToolKind) -> ToolSpec:
    """A tool of this kind under one of its usual names."""
    data = TOOLS["kinds"][kind]
    name, argument = rng.choice(data["names"]), rng.choice(data["arguments"])
    properties: dict[str, Any] = {argument: _argument_schema(rng, rng.choice(data["argument_descriptions"]))}
    if kind == "weather" and rng.random() < 0.2:
        properties["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    schema = _function(rng, name, rng.choice(data["descriptions"]), properties, argument)
    return ToolSpec(kind, name, argument, schema)


def other_tool(rng: Random) -> Tool:
    """A tool the model never calls."""
    data = rng.choice(TOOLS["others"])
    return _function(rng, data["name"], data["description"], {data["argument"]: {"type": "string"}}, data["argument"])


def _argument_schema(rng: Random, description: str) -> dict[str, Any]:
    return {"type": "string"} | ({"description": description} if description and rng.random() < 0.6 else {})


def _function(rng: Random, name: str, description: str, properties: dict[str, Any], required: str) -> Tool:
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.85:
        parameters["required"] = [required]
    if rng.random() < 0.1:
        parameters["additionalProperties"] = False
    function: dict[str, Any] = {"name": name}
    if rng.random() < 0.85:
        function["description"] = description
    return {"type": "function", "function": function | {"parameters": parameters}}
