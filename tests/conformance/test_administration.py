"""`docs/guides/administration.md`, command by command, on a server that was just started."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support.live import LiveServer, a_password

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "administration.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def test_every_command_of_the_admins_week_works(server: LiveServer, tmp_path: Path) -> None:
    people = ("ROOT", "EVE", "ADA")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
    env |= {f"{person}_PASSWORD": a_password() for person in people}
    env |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MAESTRO_URL": server.url,
        "MAESTRO_CONFIG_DIR": str(tmp_path / "config"),
        "MAESTRO_DATABASE__URL": server.database,
        "DATA": str(server.data),
        "TOKEN": server.setup_token(),
    }
    assert len(BLOCKS) > 5
    for block in BLOCKS:
        for command in block.strip().splitlines():
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr
    assert "user.created" in (tmp_path / "events.json").read_text()
    assert "member.joined" in (tmp_path / "events.csv").read_text()
