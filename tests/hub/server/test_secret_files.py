"""Are secrets made once, long enough, closed to others, and never shown?"""

from __future__ import annotations

import stat
from pathlib import Path

from click.testing import CliRunner

from hub_config.server.__main__ import server
from hub_config.server.secret_files import LENGTH, MEANING, make_secrets, read_secret
from tests.hub.server.deployment import Deployment


def test_modes_and_length(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert set(make_secrets(folder)) == set(MEANING)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    values = {read_secret(folder, name) for name in MEANING}
    assert len(values) == len(MEANING), "two secrets are the same"
    for name in MEANING:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert len(read_secret(folder, name)) == LENGTH


def test_second_run_keeps_them(tmp_path: Path) -> None:
    make_secrets(tmp_path / "secrets")
    before = {name: read_secret(tmp_path / "secrets", name) for name in MEANING}
    (tmp_path / "secrets" / "crypt_key").unlink()
    assert make_secrets(tmp_path / "secrets") == ["crypt_key"]
    after = {name: read_secret(tmp_path / "secrets", name) for name in MEANING}
    assert {name for name in MEANING if before[name] != after[name]} == {"crypt_key"}


def test_link_in_the_place_of_a_secret_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "cookie_secret").symlink_to(tmp_path / "elsewhere")
    assert "cookie_secret" not in make_secrets(tmp_path / "secrets")
    assert not (tmp_path / "elsewhere").exists()


def test_command_shows_places_and_no_secret(deployment: Deployment) -> None:
    done = CliRunner().invoke(server, ["secrets"], env={"COURSE_HUB_SETTINGS": str(deployment.file)})
    assert done.exit_code == 0, done.output
    folder = Path(deployment.settings.paths.secrets)
    for name in MEANING:
        assert f"kept  {folder / name}" in done.output
        assert read_secret(folder, name) not in done.output
