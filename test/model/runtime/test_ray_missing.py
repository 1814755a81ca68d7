"""`--ray` where there is no Ray, in an environment that has none."""

import sys

from trajforecast_model.cli import main


def test_without_ray_the_extra_is_named_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    command = ["simulate", "--suite", "blocks", "--episodes", "1", "--out", str(tmp_path), "--ray", "auto"]
    assert main(command) == 2
    assert "ray is not installed; install it: pip install -e '.[ray]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
