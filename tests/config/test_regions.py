import pytest

from backdrop.config.regions import Regions
from backdrop.config.strict_yaml import parse
from backdrop.errors import ConfigError, CutError


def regions(text: str) -> Regions:
    document = parse(f"regions:\n{text}", "a.yaml")
    return Regions.read(document, document.plain()["regions"])


def test_braces_stand_for_the_cut_of_a_region():
    found = regions("  not_a: '~{A}'\n  A: (m > 1) | (n < 3)\n  both: '{A} & (k == 2) & {not_a}'\n")
    assert found.named["not_a"].cut == "~((m > 1) | (n < 3))"
    assert found.named["both"].cut == "((m > 1) | (n < 3)) & (k == 2) & (~((m > 1) | (n < 3)))"
    assert list(found.named) == ["not_a", "A", "both"]
    assert found.named["A"].disjoint(found.named["not_a"])


def test_a_use_names_a_region_or_combines_some():
    found = regions("  A: m > 1\n  B: n > 2\n")
    assert found.at(("x",), "A") is found.named["A"]
    combined = found.at(("x",), "{A} & ~{B}")
    assert (combined.name, combined.cut) == ("A & ~B", "(m > 1) & ~(n > 2)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  A: '{B}'\n  B: '{C}'\n  C: '{A} & m > 1'\n", "regions name each other in a circle: A -> B -> C -> A"),
        ("  A: '{A}'\n", "a.yaml:2:6: regions name each other in a circle: A -> A"),
        ("  SR: m > 1\n  B: '{SRR} & n > 1'\n", "a.yaml:3:6: no region 'SRR', did you mean 'SR'?; regions: SR, B"),
        ("  A: m > 1 & {\n", "a.yaml:2:6: '{' has no partner"),
        ("  A: m > 1}\n", "a.yaml:2:6: '}' has no partner"),
    ],
)
def test_wrong_braces_are_named_with_their_place(text, message):
    with pytest.raises(ConfigError) as caught:
        regions(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("cut", ["100 < m < 140", "m > 1 && n > 2", "m >", "__import__('os')", "(" * 10_000, "m ^ 2"])
def test_a_wrong_cut_keeps_its_kind_of_error_and_gets_a_place(cut):
    with pytest.raises(CutError) as caught:
        regions(f'  A: m > 1\n  B: "{cut}"\n')
    assert str(caught.value).startswith("a.yaml:3:6: region 'B': ")


def test_cuts_that_grow_without_end_are_refused():
    doubling = "".join(f"  r{i + 1}: '{{r{i}}} | {{r{i}}}'\n" for i in range(40))
    with pytest.raises(CutError, match=r"region 'r10': the cut has .* characters"):
        regions("  r0: m > 1\n" + doubling)
    chain = "".join(f"  r{i}: '{{r{i + 1}}}'\n" for i in range(3000))
    with pytest.raises(ConfigError, match="more than 50 deep"):
        regions(chain + "  r3000: m > 1\n")


def test_an_unknown_region_is_named_where_it_is_used():
    found = regions("  window: m > 1\n")
    with pytest.raises(ConfigError, match=r"a.yaml:2:3: no region 'windw', did you mean 'window'\?"):
        found.at(("regions", "window", "x"), "windw")
