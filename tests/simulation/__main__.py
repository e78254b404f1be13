"""Write the raw files of a fictional market again from its truth.toml: python -m tests.simulation harbor."""

import sys

from closedloop.market.files import data_folder

from tests.simulation import simulate

if __name__ == "__main__":
    for market in sys.argv[1:] or ["harbor"]:
        simulate(data_folder() / market, data_folder() / market / "raw")
