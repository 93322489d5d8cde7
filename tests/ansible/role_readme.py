"""What a role's README says, made from its argument_specs."""

from pathlib import Path
from typing import Any

import yaml


def specs(role: Path) -> dict[str, Any]:
    """The role's entry points with their options."""
    return dict(yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"])


def readme(role: Path) -> str:
    """The whole README. Other entry points than ``main`` are named; their variables are the same."""
    points = specs(role)
    main = points["main"]
    text = [f"# {role.name}", "", f"{main['short_description']}.", ""]
    text += [f"- {line}" for line in main["description"]]
    text += ["", "| variable | type | default | |", "|---|---|---|---|"]
    text += [row(name, option) for name, option in main["options"].items()]
    others = [
        f"- `tasks_from: {name}`: {point['short_description']}." for name, point in points.items() if name != "main"
    ]
    return "\n".join([*text, *(["", *others] if others else [])]) + "\n"


def row(name: str, option: dict[str, Any]) -> str:
    """One variable as a row of the table."""
    kind = f"{option['type']} of {option['elements']}" if "elements" in option else option["type"]
    default = "**required**" if option.get("required") else f"`{shown(option['default'])}`"
    secret = " Secret." if option.get("no_log") else ""
    return f"| `{name}` | {kind} | {default} | {option['description']}{secret} |"


def shown(value: Any) -> str:
    """A default as YAML would have it on one line."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=200)).removesuffix("...\n").strip() or '""'
