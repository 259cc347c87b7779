"""Raw customers as features: the code of a transformation, which mlplat runs for each new file.

`transform` gets a data frame of a file's rows and gives one whose columns are features of the group. What it leaves
out stays out; an event time that is missing is the time of the run.
"""

from __future__ import annotations

import pandas as pd


def transform(frame: pd.DataFrame) -> pd.DataFrame:
    """`rownames`, as the data set of R's modeldata calls it, is the customer; texts lose the space around them."""
    frame = frame.rename(columns={"rownames": "customer_id"})
    for name in frame.select_dtypes("object"):
        frame[name] = frame[name].str.strip()
    frame["state"] = frame["state"].str.upper()
    return frame
