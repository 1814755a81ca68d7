"""Whether a cv_bridge is used is decided before it is imported: one compiled for another numpy ends the process."""

import importlib
import sys

import numpy as np
import pytest

from trajforecast_model.image_messages import bridge

COMPILED_FOR_1 = b"...numpy.core._multiarray_umath..."
COMPILED_FOR_2 = b"...numpy._core._multiarray_umath...numpy.core._multiarray_umath..."


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a cv_bridge in place whose library has these bytes; gives what is then taken for its conversion."""
    for name in [name for name in sys.modules if name.split(".")[0] == "cv_bridge"]:
        monkeypatch.delitem(sys.modules, name)
    bridge.conversion.cache_clear()

    def put(library: bytes | None, code: str):
        boost = tmp_path / "cv_bridge" / "boost"
        boost.mkdir(parents=True)
        for folder in (boost.parent, boost):
            (folder / "__init__.py").write_text("")
        (boost / "cv_bridge_boost.py").write_text(code)
        if library is not None:
            (boost / "cv_bridge_boost.stand-in.so").write_bytes(library)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return bridge.conversion()

    yield put
    bridge.conversion.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "cv_bridge"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("library", "numpy_version", "fits"),
    [
        (COMPILED_FOR_1, "1.26.4", True),
        (COMPILED_FOR_2, "1.26.4", True),
        (COMPILED_FOR_1, "2.3.0", False),
        (COMPILED_FOR_2, "2.3.0", True),
        (None, "1.26.4", False),
    ],
)
def test_it_is_imported_only_where_it_fits_numpy(install, monkeypatch, library, numpy_version, fits):
    monkeypatch.setattr(np, "__version__", numpy_version)
    code = "def cvtColor2(*_): ..." if fits else "raise AssertionError('it was imported')"

    assert (install(library, code) is not None) == fits


def test_one_that_does_not_import_is_left_alone(install):
    assert install(COMPILED_FOR_2, "raise ImportError('libopencv_core.so.406 is missing')") is None
