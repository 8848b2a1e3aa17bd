"""Makes the small Parquet files of test/golden/parquet. Needs pyarrow (made with 26.0): python3 make_parquet.py"""
import os

import pyarrow as pa
import pyarrow.parquet as pq

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parquet")
rows = [{"prompt": f"post {n} äöü 你好 " + "word " * (n % 5), "n": n, "tags": ["a"] * (n % 3)} for n in range(25)]
table = pa.Table.from_pylist(rows, schema=pa.schema([("prompt", pa.string()), ("n", pa.int64()), ("tags", pa.list_(pa.string()))]))
for codec in ("snappy", "zstd", "gzip", "brotli", "none"):
    pq.write_table(table, os.path.join(folder, f"{codec}.parquet"), compression=codec, row_group_size=10)
missing = pa.Table.from_pylist([{"prompt": "a"}, {"prompt": None}], schema=pa.schema([("prompt", pa.string())]))
pq.write_table(missing, os.path.join(folder, "null.parquet"))
