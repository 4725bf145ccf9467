"""Every command explains itself, and says what was asked wrongly."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sqlinfer
from sqlinfer.cli import main

COMMANDS = [
    "register",
    "list",
    "show",
    "alias",
    "verify",
    "remove",
    "evaluate",
    "drift",
    "query",
    "score",
    "shell",
    "serve",
    "doctor",
    "help",
    "completion",
    "extension-path",
    "install-extension",
]


def test_the_commands_are_those_of_the_design():
    assert sorted(main.commands) == sorted(COMMANDS)


def test_the_overview_names_every_command(run):
    text = run("-h").output
    assert "SQL function inside DuckDB" in text
    assert all(f"  {command} " in text for command in COMMANDS)
    assert run("--help").output == text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(run, command):
    text = run(command, "-h").output
    assert text.startswith((f"Usage: main {command}", f"Usage: sqlinfer {command}"))
    assert len(text.splitlines()) > 4
    options = [parameter for parameter in main.commands[command].params if parameter.param_type_name == "option"]
    for option in options:
        assert option.opts[-1] in text
        assert option.help, f"{command} {option.opts[-1]} is not explained"


def test_help_as_people_type_it(run):
    assert run("help").output == run("--help").output
    assert run("help", "register").output == run("register", "--help").output
    assert "did you mean 'register'" in run("help", "registe", code=2).stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["rollback", "churn", "1"], "sqlinfer alias churn default 1"),
        (["promote", "churn/3"], "sqlinfer alias churn default 3"),
        (["promote", "churn"], "sqlinfer alias churn default VERSION"),
        (["ls"], "sqlinfer list"),
        (["rm", "churn/1", "-y"], "sqlinfer remove churn/1 -y"),
        (["version"], "sqlinfer --version"),
        (["regster"], "did you mean 'register'"),
        (["xyzzy"], "commands: "),
    ],
    ids=lambda words: " ".join(words),
)
def test_commands_that_are_called_otherwise(run, typed, meant):
    assert meant in run(*typed, code=2).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run, shell):
    assert "_SQLINFER_COMPLETE" in run("completion", shell).stdout
    assert "sqlinfer completion bash|zsh|fish" in run("completion", code=2, environment={"SHELL": "/bin/tcsh"}).stderr
    assert run("completion", environment={"SHELL": f"/bin/{shell}"}).stdout == run("completion", shell).stdout


def test_completion_knows_the_models(run, negate, monkeypatch):
    run("register", "negate", negate)
    for word, found in ((["show", "ne"], "negate"), (["alias", "NE"], "negate"), (["he"], "help"), (["show", "x"], "")):
        words = {"COMP_WORDS": " ".join(["sqlinfer", *word]), "COMP_CWORD": str(len(word))}
        completed = run(environment={**words, "_MAIN_COMPLETE": "bash_complete"}).stdout
        assert completed.strip() == (f"plain,{found}" if found else "")


def test_version(run):
    assert run("--version").output == f"sqlinfer, version {sqlinfer.__version__}\n"


@pytest.mark.parametrize(
    "wrong",
    [["nope"], ["register"], ["register", "m"], ["show"], ["alias", "m"], ["query"], ["list", "-f", "xml"],
     ["completion", "tcsh"],
     ["query", "SELECT 1", "-f", "xml"], ["query", "--nope", "SELECT 1"], ["alias", "m", "champion", "x"], ["remove"]],
    ids=" ".join,
)  # fmt: skip
def test_what_is_asked_wrongly_exits_with_2(run, wrong):
    result = run(*wrong, code=2)
    assert "Usage:" in result.stderr and result.stdout == ""


HEAVY = {"duckdb", "_duckdb", "numpy", "onnx", "onnxruntime", "pyarrow", "sqlglot", "pandas", "sklearn", "IPython"}


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)], ids=lambda words: " ".join(words))
def test_help_comes_at_once(words):
    """It waits for no library that runs models."""
    arguments = [*words, "--help"]
    script = f"import sys\nfrom sqlinfer.cli import main\nmain({arguments}, standalone_mode=False)\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = ran.stdout.splitlines()[-1].split()
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert len(loaded) < 250  # Python and click alone are about 100
