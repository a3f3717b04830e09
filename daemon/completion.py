"""`tallystick completion`: a script that completes commands, options and words, made from the parser itself."""

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from daemon import show

DONE: Final = 0

SHELLS: Final = ("bash", "zsh", "fish")

_SCRIPT: Final = """\
# Completion of tallystick; in ~/.bashrc or ~/.zshrc: eval "$(tallystick completion {shell})"
{before}_tallystick() {{
    local path="" word words
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path/$word" in
            {paths}) path="$path/$word" ;;
        esac
    done
    case "$path" in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
    [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o filenames -F _tallystick tallystick
"""

#: zsh completes by functions of bash once it was asked to.
_BEFORE: Final = {"bash": "", "zsh": "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"}


#: Names of files are offered where no word fits, as the others do.
_FISH: Final = """\
# Completion of tallystick; in ~/.config/fish/config.fish: tallystick completion fish | source
function __tallystick
    set -l path ""
    set -l words
    for word in (commandline -opc)[2..]
        switch "$path/$word"
            case {paths}
                set path "$path/$word"
        end
    end
    switch "$path"
{cases}
    end
    set -l begun (commandline -ct)
    set -l fitting (string match -r -- "^"(string escape --style=regex -- "$begun")".*" $words)
    set -q fitting[1]; and printf '%s\\n' $fitting; or __fish_complete_path "$begun"
end
complete -c tallystick -f -a '(__tallystick)'
"""


def completion(parser: argparse.ArgumentParser, shell: str) -> int:
    """Print the script for *shell*."""
    show.out(script(parser, shell).removesuffix("\n"))
    return DONE


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script: for each command the words that may follow it; where none fits, names of files do."""
    tree = dict(_tree(parser, ""))
    return _of_fish(tree) if shell == "fish" else _of_bash(tree, shell)


def _of_bash(tree: Mapping[str, Sequence[str]], shell: str) -> str:
    cases = [f"        {shlex.quote(path)}) words={shlex.quote(' '.join(words))} ;;" for path, words in tree.items()]
    paths = "|".join(shlex.quote(path) for path in tree if path)
    return _SCRIPT.format(shell=shell, before=_BEFORE[shell], paths=paths, cases="\n".join(cases))


def _of_fish(tree: Mapping[str, Sequence[str]]) -> str:
    cases = [
        f"        case {shlex.quote(path)}\n            set words {' '.join(words)}" for path, words in tree.items()
    ]
    return _FISH.format(paths=" ".join(path for path in tree if path), cases="\n".join(cases))


def _tree(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every command by its path from the program, `/export/csv`, with its words and options."""
    words: list[str] = []
    for action in parser._actions:  # noqa: SLF001 - argparse tells nobody else what it parses
        words += [option for option in action.option_strings if option.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for name, below in action.choices.items():
                words.append(name)
                yield from _tree(below, f"{path}/{name}")
        elif action.choices and not action.option_strings:
            words += map(str, action.choices)
    yield path, words
