import pytest

from backdrop import errors
from backdrop.errors import BackdropError, nearest


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ConfigError", 2),
        ("CutError", 2),
        ("DataError", 3),
        ("BlindedError", 4),
        ("FitError", 5),
        ("ExportError", 5),
        ("ArtifactError", 6),
        ("ResourceError", 7),
    ],
)
def test_exit_codes(name, code):
    error = getattr(errors, name)
    assert issubclass(error, BackdropError)
    assert error.exit_code == code
    assert f"{name}" in (errors.__doc__ or "")


def test_nearest_names_the_closest_spelling_or_nothing():
    assert nearest("m_hhh", ["pt", "m_hh"]) == ", did you mean 'm_hh'?"
    assert nearest("weight", ["pt", "m_hh"]) == ""
    assert nearest("m", {}) == ""
