"""trajforecast_msgs/tracks.hpp, compiled against the C++ headers that were generated from the messages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEADER = Path(__file__).parents[2] / "trajforecast_msgs" / "include"
PROGRAM = r"""
#include <iostream>
#include <numeric>
#include "trajforecast_msgs/tracks.hpp"

template<typename Error, typename Call>
void refused(Call call)
{
  try {
    call();
    std::cout << "not refused\n";
  } catch (const Error & error) {
    std::cout << error.what() << "\n";
  }
}

int main()
{
  using namespace trajforecast_msgs;
  msg::PredictedTracks tracks;
  tracks.views.resize(2);
  tracks.views[0].name = "side";
  tracks.views[1].name = "effector";
  tracks.num_samples = 3;
  tracks.num_steps = 4;
  tracks.grid_height = 5;
  tracks.grid_width = 6;
  tracks.tracks.resize(2 * 3 * 4 * 5 * 6 * 2);
  std::iota(tracks.tracks.begin(), tracks.tracks.end(), 0.0f);
  const TracksView view(tracks);
  const auto [x, y] = view.at(view.view_index("effector"), 2, 3, 4, 1);
  std::cout << x << " " << y << " " << view(1, 2, 3, 4, 1).x << " " << view.has_visibility() << "\n";
  refused<std::out_of_range>([&] {view.at(0, 3, 0, 0, 0);});
  refused<std::out_of_range>([&] {view.at(0, 0, 0, 0, 6);});
  refused<std::out_of_range>([&] {view.visibility_at(0, 0, 0, 0, 0);});
  refused<std::out_of_range>([&] {view.view_index("wrist");});
  tracks.visibility.assign(2 * 3 * 4 * 5 * 6, 0.0f);
  tracks.visibility.back() = 0.5f;
  std::cout << TracksView(tracks).visibility_at(1, 2, 3, 4, 5) << "\n";
  tracks.tracks.pop_back();
  refused<std::invalid_argument>([&] {TracksView made(tracks);});

  msg::TrackSummary summary;
  summary.views.resize(2);
  summary.num_steps = 4;
  summary.grid_height = 5;
  summary.grid_width = 6;
  summary.mean_t.resize(2 * 4 * 5 * 6 * 2);
  std::iota(summary.mean_t.begin(), summary.mean_t.end(), 0.0f);
  summary.min.assign(summary.mean_t.rbegin(), summary.mean_t.rend());
  summary.spread.assign(summary.mean_t.begin(), summary.mean_t.begin() + 2 * 4 * 5 * 6);
  const SummaryView brief(summary);
  std::cout << brief.mean_t_at(1, 3, 4, 5).y << " " << brief.min_at(1, 3, 4, 5).y << " " << brief.spread_at(1, 3, 4, 5) << "\n";
  std::cout << brief.mean_t(0, 1, 0, 0).x << " " << brief.min(0, 0, 0, 0).x << " " << brief.spread(1, 0, 0, 0) << "\n";
  refused<std::out_of_range>([&] {brief.spread_at(0, 4, 0, 0);});
}
"""


def include_folders() -> list[Path]:
    """Of every message package: the environment's own where ROS 2 comes from wheels, else those that are sourced."""
    prefixes = [Path(sys.prefix), *map(Path, filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(":")))]
    return [folder for prefix in prefixes for folder in sorted((prefix / "include").glob("*")) if folder.is_dir()]


def test_tracks_are_read_by_view_sample_step_row_and_column(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    source, program = tmp_path / "program.cpp", tmp_path / "program"
    source.write_text(PROGRAM)
    includes = [f"-I{HEADER}", *(f"-isystem{folder}" for folder in include_folders())]
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    made = subprocess.run(["g++", *strict, *includes, source, "-o", program], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()

    place = 2 * ((((1 * 3 + 2) * 4 + 3) * 5 + 4) * 6 + 1)
    assert lines == [
        f"{place} {place + 1} {place} 0",
        "sample 3 is not among the 3 of this message",
        "column 6 is not among the 6 of this message",
        "view 0 is not among the 0 of this message",
        "there is no view 'wrist' in this message; it has side, effector",
        "0.5",
        "tracks should have 1440 numbers, got 1439",
        "479 0 239",
        "60 479 120",
        "step 4 is not among the 4 of this message",
    ]


def test_the_header_is_installed_beside_the_generated_ones():
    folders = [folder for folder in include_folders() if folder.name == "trajforecast_msgs"]

    for name in ("tracks.hpp", "msg/predicted_tracks.hpp"):
        assert any((folder / "trajforecast_msgs" / name).is_file() for folder in folders), name
