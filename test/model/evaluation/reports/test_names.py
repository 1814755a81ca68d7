"""Names that tell files or folders apart, no longer than they need be."""

import pytest

from trajforecast_model.evaluation.reports.names import distinct_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["out/ours.json"], ["ours"]),
        (["out/ours.json", "out/atm.json"], ["ours", "atm"]),
        (["/x/ours/report.json", "/x/atm/report.json"], ["ours/report.json", "atm/report.json"]),
        (["a/x/report.json", "b/x/report.json"], ["a/x/report.json", "b/x/report.json"]),
        (["report.json", "a/report.json"], ["report.json", "a/report.json"]),
        (["ours.json", "ours.json"], ["ours", "ours"]),
    ],
)
def test_as_many_parts_as_it_takes(paths, names):
    assert distinct_names(paths, shortest=lambda path: path.stem) == names
