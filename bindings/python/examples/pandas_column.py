"""A pandas column mapped through batches: the minutes that each flight made up, by a handler that sees 4096 rows
at a time.

    pip install ./bindings/python pandas
    python bindings/python/examples/pandas_column.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import microbatch
import numpy as np
import pandas as pd

FLIGHTS = Path(__file__).parents[3] / "examples" / "data" / "flights-2013-02.csv"
calls: list[int] = []


def minutes_made_up(delays: Any) -> Any:
    """A whole batch of the column at once, as an array."""
    calls.append(len(delays))
    return np.maximum(delays, 0)


def main() -> None:
    flights = pd.read_csv(FLIGHTS).dropna(subset=["dep_delay", "arr_delay"])
    flights["made_up"] = microbatch.map(
        flights["dep_delay"] - flights["arr_delay"], minutes_made_up, max_batch_size=4096
    )
    flights["code"] = microbatch.map(flights["carrier"], lambda names: [name.lower() for name in names], batches=3)
    print(f"{len(flights)} flights in batches of {', '.join(str(call) for call in calls)}")
    print(flights.groupby("code")["made_up"].mean().round(1).sort_values(ascending=False).head(3).to_string())


if __name__ == "__main__":
    main()
