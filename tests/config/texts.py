"""Configurations that tests change in one place."""

from __future__ import annotations

GAUSSIAN = """\
name: gaussian
title: ABCD on two Gaussians
seed: 1
replicas: 20
synthetic:
  name: gaussian_abcd
  settings: {fakes: 4000, reals: 2000}
regions:
  tight: x1 > 1
  loose: x1 <= 1
  high: x2 > 1
  low: x2 <= 1
  window: "(m > 120) & (m < 140)"
  outside: "~{window}"
seal:
  - {sample: data, region: "{tight} & {high} & {window}"}
channels:
  SR: {region: "{high} & {window}", axes: [{column: m, bins: 2, range: [120, 140], label: "m [GeV]"}]}
  VR: {region: "{high} & {outside}", axes: [{column: m, edges: [100, 120, 140, 200], label: "m [GeV]"}]}
methods:
  abcd:
    type: abcd
    events: data - reals
    settings: {target: tight, source: loose, control: low}
    variations:
      reals: {up: {events: data - 1.1 * reals}, down: {events: data - 0.9 * reals}}
      transfer: {settings: {transfer: {type: polynomial, column: m, degree: 1}}}
closures:
  - {channel: VR, as_variation: true}
"""


def changed(old: str, new: str, text: str = GAUSSIAN) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


def marked(text: str) -> tuple[str, str]:
    """Take the mark @ out of a text; also return its line and column."""
    before, after = text.split("@")
    return before + after, f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
