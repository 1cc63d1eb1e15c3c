"""Are two services in one process two? Their routes are made of the same handlers, which Litestar would copy if we let it."""

from pathlib import Path

import pytest

from server.stand import open_stand

pytestmark = pytest.mark.anyio


async def test_each_answers_from_its_own_parts(tmp_path: Path) -> None:
    first, second = (f"sqlite:///{tmp_path / name}.db" for name in ("first", "second"))
    async with open_stand(first) as one, open_stand(second) as other:
        made = await one.submit()

        listed = [await stand.get("/muster/v1/workflows") for stand in (one, other)]
        missing = await other.ask("GET", f"/v1/workflows/{made['workflow_id']}")
        theirs = await other.submit()

        assert [[each["workflow_id"] for each in page["workflows"]] for page in listed] == [[made["workflow_id"]], []]
        assert missing.status_code == 404
        assert (await one.ask("GET", f"/v1/workflows/{theirs['workflow_id']}")).status_code == 404


async def test_an_earlier_one_keeps_its_own_while_a_later_one_comes_and_goes(tmp_path: Path) -> None:
    async with open_stand(f"sqlite:///{tmp_path / 'first'}.db") as one:
        made = await one.submit()
        async with open_stand(f"sqlite:///{tmp_path / 'second'}.db") as other:
            await other.submit()

        assert (await one.show(made))["workflow_id"] == made["workflow_id"]
        assert (await one.ask("GET", "/v1/")).status_code == 200
