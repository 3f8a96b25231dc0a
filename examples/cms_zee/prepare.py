"""Turn a CSV file of CERN Open Data record 545 into Parquet or ROOT."""

import sys

import backdrop as bd
from backdrop.io import write

ELECTRON, MUON = ("isoTrack", "isoEcal", "isoHcal"), ("dxy", "iso")


def main(source: str, target: str) -> None:
    """Read a file of electron or muon pairs, write what the analysis needs."""
    own = MUON if "mumu" in source.lower() else ELECTRON
    columns = [name + side for side in "12" for name in ("pt", "eta", "phi", "Q", *own)]
    write(target, bd.read(source, ["Run", "Event", *columns], keys=["Run", "Event"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
