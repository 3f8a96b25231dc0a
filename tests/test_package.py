"""The package as a whole: how fast it loads, what it exports, and which version it says it is."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import subprocess
import sys

import pytest

import backdrop

IMPORT_SECONDS = 0.5

PROBE = """
import json, sys, time
before = set(sys.modules)
start = time.process_time()
import backdrop
seconds = time.process_time() - start
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps([seconds, sorted(loaded - sys.stdlib_module_names - {"backdrop", "numpy"})]))
"""


def probe() -> tuple[float, list[str]]:
    """Import the package in a fresh interpreter: processor seconds taken, and the foreign packages that came with it.

    Not seconds on the wall: the other test process and whatever else the machine does would count as ours.
    Compiled files are kept, as they are for a user.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-W", "error", "-c", PROBE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    seconds, foreign = json.loads(done.stdout)
    return seconds, foreign


def test_import_is_fast_and_loads_numpy_only():
    tries = [probe() for _ in range(4)]
    assert min(seconds for seconds, _ in tries) < IMPORT_SECONDS
    assert tries[0][1] == []


def test_version_is_that_of_the_installed_package():
    assert backdrop.__version__ == importlib.metadata.version("backdrop")


def test_public_names_are_unique_and_listed():
    assert len(set(backdrop.__all__)) == len(backdrop.__all__)
    assert set(backdrop.__all__) <= set(dir(backdrop))


@pytest.mark.parametrize("name", backdrop.__all__)
def test_public_name_exists_and_says_what_it_is(name):
    thing = getattr(backdrop, name)
    if not (inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing)):
        return  # a constant: the comment beside it is its documentation
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert own, f"backdrop.{name} has no docstring"
    generated = inspect.isclass(thing) and own.startswith(f"{thing.__name__}(")
    assert not generated, f"backdrop.{name} has only the signature that dataclass writes"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_noun"):
        getattr(backdrop, "no_such_noun")  # noqa: B009  (mypy would refuse the plain attribute)
