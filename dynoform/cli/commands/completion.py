"""``completion``: a script for the shell, made from the same grammar that reads the command line."""

import argparse

from dynoform.cli.context import Context

BASH = """_dynoform() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}"
    case "${{COMP_WORDS[1]}}" in
{cases}
        *) COMPREPLY=($(compgen -W "{commands}" -- "$word")) ;;
    esac
}}
complete -F _dynoform dynoform bin/dynoform ./bin/dynoform"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `completion` can be told."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command."""
    context.console.result({"bash": bash, "zsh": zsh, "fish": fish}[options.shell]())
    return 0


def grammar() -> dict[str, list[str]]:
    """Commands with their options."""
    from dynoform.cli.__main__ import parser

    commands = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return {
        name: sorted(option for action in one._actions for option in action.option_strings if option.startswith("--"))
        for name, one in commands.choices.items()
    }


def bash() -> str:
    """For ``source <(bin/dynoform completion bash)``."""
    known = grammar()
    cases = [
        f'        {name}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word")) ;;' for name, words in known.items()
    ]
    return BASH.format(cases="\n".join(cases), commands=" ".join(known))


def zsh() -> str:
    """The same, through zsh's emulation of bash's completion."""
    return "autoload -U +X bashcompinit && bashcompinit\n" + bash()


def fish() -> str:
    """One line per command and option."""
    lines = []
    for name, words in grammar().items():
        lines.append(f"complete -c dynoform -f -n __fish_use_subcommand -a {name}")
        condition = f"'__fish_seen_subcommand_from {name}'"
        lines += [f"complete -c dynoform -n {condition} -l {word.removeprefix('--')}" for word in words]
    return "\n".join(lines)
