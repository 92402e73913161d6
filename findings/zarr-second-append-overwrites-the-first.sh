#!/usr/bin/env bash
# In a Zarr store that xarray wrote, a second append to an array overwrites the first append.
#
# Expected: `zarr.open_group(path)["loss"].append(values)` adds values at the end of the array, and a second call adds more.
#   Setting an attribute of the array does not change its values.
# What happens: xarray writes consolidated metadata by default, a copy of every array's shape in the store's root. Zarr opens
#   arrays of a group by this copy, but `append` writes the new shape only to the array's metadata. So the next
#   `open_group` (or `xarray.open_zarr`) finds the old length, and the next append overwrites what the first append wrote.
#   If an attribute is then set (`attrs["units"] = ...`), the array's metadata are written with the old shape, which removes both
#   appends. None of these steps gives an error or a warning.
# What to do: open stores for writing with `zarr.open_group(path, use_consolidated=False)`, and call
#   `zarr.consolidate_metadata(path)` after the last change. Or append with xarray, which updates the copy.
# Why it matters: logs of a training run grow by appends. The rows that the second append overwrites are gone.
# Versions: zarr 3.1.6, xarray 2026.9.0, numpy 2.4.6, Python 3.11 or later.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check zarr==3.1.6 xarray==2026.9.0 numpy==2.4.6 2>&1 |
    grep -v '^WARNING' || true

venv/bin/python - <<'PY'
import warnings

import numpy as np
import xarray as xr
import zarr

print("zarr", zarr.__version__, "| xarray", xr.__version__, "| numpy", np.__version__)
assert (zarr.__version__, xr.__version__) == ("3.1.6", "2026.9.0"), "this is about zarr 3.1.6 and xarray 2026.9.0"


def write_store(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray's default, consolidated metadata, is no part of the specification
        xr.Dataset({"loss": ("epoch", [4.0, 3.0])}).to_zarr(path)


def on_disk(path):
    """Return the array's values according to the array's metadata, not to the copy in the root."""
    return zarr.open_array(f"{path}/loss")[:].tolist()


def append_twice(path, **options):
    write_store(path)
    steps = {}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        zarr.open_group(path, **options)["loss"].append(np.array([2.0]))
        steps["append 2.0"] = on_disk(path)
        steps["length that xarray then has"] = xr.open_zarr(path).sizes["epoch"]
        zarr.open_group(path, **options)["loss"].append(np.array([1.0]))
        steps["append 1.0"] = on_disk(path)
        zarr.open_group(path, **options)["loss"].attrs["units"] = "nat"
        steps["set an attribute"] = on_disk(path)
    steps["warnings"] = [str(warning.message) for warning in warned if not issubclass(warning.category, ResourceWarning)]
    return steps


def show(title, steps):
    print(f"\n{title}")
    for step, result in steps.items():
        print(f"    {step:29}{result}")


plain = append_twice("plain.zarr")
show("A store as xarray writes it, [4.0, 3.0]:", plain)
unconsolidated = append_twice("unconsolidated.zarr", use_consolidated=False)
show("The same store, opened with use_consolidated=False:", unconsolidated)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    zarr.consolidate_metadata("unconsolidated.zarr")
unconsolidated["after consolidate_metadata"] = xr.open_zarr("unconsolidated.zarr").loss.values.tolist()
print("    after consolidate_metadata  ", unconsolidated["after consolidate_metadata"])

both_appends = [4.0, 3.0, 2.0, 1.0]
described = {
    "the first append is written": plain["append 2.0"] == [4.0, 3.0, 2.0],
    "readers have the old length": plain["length that xarray then has"] == 2,
    "the second append overwrites it": plain["append 1.0"] == [4.0, 3.0, 1.0],
    "setting an attribute removes both appends": plain["set an attribute"] == [4.0, 3.0],
    "no warning appears": plain["warnings"] == [],
    "without consolidated metadata both appends remain": unconsolidated["set an attribute"] == both_appends,
    "after consolidate_metadata readers have both appends": unconsolidated["after consolidate_metadata"] == both_appends,
}
wrong = [what for what, holds in described.items() if not holds]
print("\nNOT AS DESCRIBED: " + "; ".join(wrong) if wrong else "\nAs described: the second append overwrites the first.")
raise SystemExit(bool(wrong))
PY
