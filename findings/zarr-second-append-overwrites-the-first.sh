#!/usr/bin/env bash
# A second append to an array of a Zarr store that xarray wrote overwrites the first one.
#
# Expected: `zarr.open_group(path)["loss"].append(values)` adds values at the end of the array. Two calls add twice. Setting
#   an attribute of the array leaves its values alone.
# What happens: xarray writes consolidated metadata by default, a copy of every array's shape in the store's root. Zarr opens
#   arrays of a group by this copy, and `append` writes the new shape to the array alone. So the next `open_group` (and
#   `xarray.open_zarr`) has the old length, and the next append starts there: it overwrites what the first one wrote.
#   `attrs["units"] = ...` writes the array's metadata with the old shape, and takes both appends back. No error and no
#   warning appears in any of these steps.
# What to do: open stores for writing with `zarr.open_group(path, use_consolidated=False)`, and call
#   `zarr.consolidate_metadata(path)` after the last change. Or append with xarray, which renews the copy.
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


def lay_out(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray's default, consolidated metadata, is no part of the specification
        xr.Dataset({"loss": ("epoch", [4.0, 3.0])}).to_zarr(path)


def on_disk(path):
    """The array's values by its own metadata, without the copy in the root."""
    return zarr.open_array(f"{path}/loss")[:].tolist()


def grow(path, **how):
    lay_out(path)
    seen = {}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        zarr.open_group(path, **how)["loss"].append(np.array([2.0]))
        seen["append 2.0"] = on_disk(path)
        seen["length that xarray then has"] = xr.open_zarr(path).sizes["epoch"]
        zarr.open_group(path, **how)["loss"].append(np.array([1.0]))
        seen["append 1.0"] = on_disk(path)
        zarr.open_group(path, **how)["loss"].attrs["units"] = "nat"
        seen["set an attribute"] = on_disk(path)
    seen["warnings"] = [str(one.message) for one in said if not issubclass(one.category, ResourceWarning)]
    return seen


def show(what, seen):
    print(f"\n{what}")
    for step, result in seen.items():
        print(f"    {step:29}{result}")


plain = grow("plain.zarr")
show("A store as xarray writes it, [4.0, 3.0]:", plain)
told = grow("told.zarr", use_consolidated=False)
show("The same with use_consolidated=False:", told)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    zarr.consolidate_metadata("told.zarr")
told["after consolidate_metadata"] = xr.open_zarr("told.zarr").loss.values.tolist()
print("    and consolidated once more  ", told["after consolidate_metadata"])

described = {
    "the first append is written": plain["append 2.0"] == [4.0, 3.0, 2.0],
    "readers have the old length": plain["length that xarray then has"] == 2,
    "the second append overwrites it": plain["append 1.0"] == [4.0, 3.0, 1.0],
    "an attribute takes it back as well": plain["set an attribute"] == [4.0, 3.0],
    "without a warning": plain["warnings"] == [],
    "without consolidated metadata all is kept": told["set an attribute"] == [4.0, 3.0, 2.0, 1.0],
    "and readers have it once consolidated": told["after consolidate_metadata"] == [4.0, 3.0, 2.0, 1.0],
}
wrong = [what for what, holds in described.items() if not holds]
print("\nNOT AS DESCRIBED: " + "; ".join(wrong) if wrong else "\nAs described: the second append overwrites the first.")
raise SystemExit(bool(wrong))
PY
