"""The command line as a whole: what help loads and costs, that everything is documented, how errors end."""

from __future__ import annotations

import ast
import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from mlplat import output
from mlplat.errors import MlplatError
from mlplat.main import app, run

SOURCE = Path(output.__file__).parents[1]
HEAVY = (
    "boto3",
    "botocore",
    "moto",
    "sagemaker",
    "mlflow",
    "pandas",
    "numpy",
    "sklearn",
    "pyarrow",
    "optuna",
    "duckdb",
)


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("words", [["--help"], ["apply", "--help"], ["train", "--help"], ["local", "start", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys
from mlplat.main import run
try:
    run()
except SystemExit as end:
    assert end.code == 0, end.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""
    told = python(code, *words)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Usage: ")


def cost(*command: str) -> float:
    """CPU seconds, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("words", [["--help"], ["apply", "--help"]])
def test_help_costs_at_most_twice_its_libraries(words: list[str]) -> None:
    pairs = [(cost("-m", "mlplat", *words), cost("-c", "import typer, rich")) for _ in range(6)]
    assert min(ours for ours, _ in pairs) <= 2 * min(bound for _, bound in pairs)


def commands(group: Any, path: str = "mlplat") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")


def test_every_command_and_option_is_documented() -> None:
    for path, command in commands(get_command(app)):
        assert command.help, path
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{path}: {parameter.name}"


def test_what_a_value_stands_for_is_told_alike_everywhere() -> None:
    for path, command in commands(get_command(app)):
        for parameter in command.params:
            valued = parameter.param_type_name == "argument" or not parameter.is_flag
            if valued and not parameter.type_descriptor.is_choice:
                assert parameter.metavar, f"{path}: {parameter.name}"
                assert parameter.metavar[0].isalpha() and parameter.metavar.isupper(), f"{path}: {parameter.name}"
            if parameter.param_type_name == "option" and parameter.multiple:
                assert "may be repeated" in parameter.help, f"{path}: {parameter.name}"


def test_a_list_of_commands_cuts_no_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    root: Any = get_command(app)
    groups = [(), *((name,) for name, group in root.commands.items() if hasattr(group, "commands"))]
    for group in groups:
        told = CliRunner().invoke(app, [*group, "--help"]).output
        assert "Usage: " in told and "..." not in told.partition("\n\n")[2], group


def test_help_tells_the_exit_codes() -> None:
    told = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    kinds: list[type[MlplatError]] = [MlplatError, *subclasses(MlplatError)]
    for kind in kinds:
        assert f" {kind.exit_code} " in told


def test_every_command_that_shows_something_takes_json() -> None:
    silent = {"mlplat local logs", "mlplat completion"}
    for path, command in commands(get_command(app)):
        if not hasattr(command, "commands") and path not in silent:
            assert any("--json" in parameter.opts for parameter in command.params), path


def test_the_shell_can_ask_for_completions() -> None:
    asked = {"_MLPLAT_COMPLETE": "complete_bash", "COMP_WORDS": "mlplat deploy --va", "COMP_CWORD": "2"}
    program = str(Path(sys.executable).with_name("mlplat"))
    told = subprocess.run([program], capture_output=True, text=True, env={**os.environ, **asked})
    assert told.stdout.split() == ["--variant"]
    assert "_MLPLAT_COMPLETE" in python("from mlplat.main import run; run()", "completion", "zsh").stdout


def ends(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """The exit code of a command that raises."""
    broken = typer.Typer()

    @broken.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr("mlplat.main.app", broken)
    monkeypatch.setattr(sys, "argv", ["mlplat"])
    with pytest.raises(SystemExit) as end:
        run()
    return int(end.value.code or 0)


def subclasses(kind: type[MlplatError]) -> Iterator[type[MlplatError]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_a_bug_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(monkeypatch, ZeroDivisionError("division by zero")) == 1
    told = capsys.readouterr().err
    assert "error: unexpected ZeroDivisionError: division by zero" in told
    assert "hint: mlplat --debug" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("kind", [MlplatError, *subclasses(MlplatError)])
def test_each_error_ends_with_its_exit_code(kind: type[MlplatError], monkeypatch: pytest.MonkeyPatch) -> None:
    error = kind.__new__(kind)
    MlplatError.__init__(error, "it went wrong", hint="mlplat plan")
    assert ends(monkeypatch, error) == kind.exit_code


def test_errors_are_json_where_json_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.mode, "json", True)
    assert ends(monkeypatch, MlplatError("it went wrong", hint="mlplat plan")) == 1
    assert capsys.readouterr().err == '{"error": "it went wrong", "hint": "mlplat plan", "exit_code": 1}\n'


@pytest.mark.parametrize(
    ("words", "problem", "hint"),
    [
        ("describe --json", "Missing argument 'ADDRESS'.", "mlplat describe --help"),
        ("plan --nosuch --json", "No such option: --nosuch (Possible options: --out)", "mlplat plan --help"),
        ("features lst --json", "No such command 'lst'. Did you mean 'list'?", "mlplat features --help"),
    ],
)
def test_wrong_usage_is_json_where_json_is_asked_for(
    words: str, problem: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output.mode, "json", False)
    monkeypatch.setattr(sys, "argv", ["mlplat", *words.split()])
    with pytest.raises(SystemExit) as end:
        run()
    told = capsys.readouterr()
    assert (end.value.code, told.out) == (2, "")
    assert json.loads(told.err) == {"error": problem, "hint": hint, "exit_code": 2}


@pytest.mark.parametrize(
    ("typed", "hint", "told"),
    [
        ("plan -n production", "mlplat apply", "mlplat apply --namespace production"),
        ("plan --namespace=production", "mlplat apply", "mlplat apply --namespace production"),
        ("plan -nproduction", "mlplat apply", "mlplat apply --namespace production"),
        ("plan -n production", "mlplat apply --namespace test", "mlplat apply --namespace test"),
        ("plan -n production -c etc", "mlplat config keys", "mlplat config keys --config etc"),
        ("plan -c 'my config'", "mlplat plan", "mlplat plan --config 'my config'"),
        ("plan -n production", "mlplat local start", "mlplat local start"),
        ("plan -n production", "aws configure", "aws configure"),
        ("plan", "mlplat apply", "mlplat apply"),
    ],
)
def test_a_hint_is_for_the_platform_that_was_typed(
    typed: str, hint: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = typer.Typer()

    @broken.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    def fails() -> None:
        raise MlplatError("it went wrong", hint=hint)

    monkeypatch.setattr("mlplat.main.app", broken)
    monkeypatch.setattr(output.mode, "json", True)
    monkeypatch.setattr(sys, "argv", ["mlplat", *shlex.split(typed)])
    with pytest.raises(SystemExit):
        run()
    assert json.loads(capsys.readouterr().err)["hint"] == told


def hints() -> Iterator[tuple[str, list[str]]]:
    """Where hints are written in the source, and the words of the command that each is; 1 for what is filled in."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                parts = node.value.values if isinstance(node.value, ast.JoinedStr) else [node.value]
                words = "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in parts).split()
                if words[0] == "mlplat" and words[1] not in ("1", "--debug"):
                    yield f"{path.relative_to(SOURCE)}:{node.value.lineno}", words[1:]


def test_every_hint_is_a_command_that_can_be_typed() -> None:
    found = list(hints())
    assert len(found) > 50
    wrong = {}
    for place, words in found:
        command: Any = get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        with suppress(typer.Exit):  # of --help
            try:
                command.make_context("mlplat", words, help_option_names=["-h", "--help"])
            except typer.BadParameter.__base__ as error:
                if "unexpected extra" not in error.format_message():  # flags that are filled in
                    wrong[place] = error.format_message()
    assert not wrong


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.mode, "debug", True)
    with pytest.raises(ZeroDivisionError):
        ends(monkeypatch, ZeroDivisionError())
