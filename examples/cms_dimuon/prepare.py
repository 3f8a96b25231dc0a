"""Turn the CSV file of CERN Open Data record 303 into Parquet or ROOT."""

import sys

import backdrop as bd
from backdrop.io import write


def main() -> None:
    """Read argv[1], write argv[2]."""
    columns = [name + side for side in "12" for name in ("E", "px", "py", "pz", "Q")] + ["M"]
    write(sys.argv[2], bd.read(sys.argv[1], columns))


if __name__ == "__main__":
    main()
