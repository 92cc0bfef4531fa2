"""The drug catalog: reading Health Canada's extract, and what intake makes of it."""

import json
import zipfile

import pytest
from click.testing import CliRunner

from gateway.cli import main

DRUG = '"1","Human","Human","02242705","LIPITOR","","N","","1","01-JAN-2026","","","",""\n'
EXTRACT = {
    "drug.txt": DRUG
    + '"2","Human","Human","02230711","LIPITOR","","N","","1","01-JAN-2026","","","",""\n'
    + '"3","Human","Human","00326925","MORPHINE, ""FORTE""","","N","","1","","","","",""\n'
    + '"4","Human","Human","Not applicable","NO DIN","","N","","1","","","","",""\n',
    "ingred.txt": '"1","7","ATORVASTATIN (CALCIUM)","I","20","MG","","","","","","","","",""\n'
    '"2","7","ATORVASTATIN (CALCIUM)","I","10","MG","","","","","","","","",""\n'
    '"3","8","MORPHINE SULFATE","I","5","MG","","","","","","","","",""\n',
    "form.txt": '"1","10","Tablet","Comprimé"\n"2","10","Tablet","Comprimé"\n',
    "schedule.txt": '"1","Prescription","Ordonnance"\n"2","Prescription","x"\n'
    '"3","Narcotic (CDSA I)","Stupéfiant"\n',
    "status.txt": '"1","Y","MARKETED","01-JAN-2026","","",""\n'
    '"1","N","APPROVED","01-JAN-2020","","",""\n'
    '"2","Y","MARKETED","01-JAN-2026","","",""\n'
    '"3","Y","MARKETED","01-JAN-2026","","",""\n',
    "comp.txt": '"1","x"\n',
}
CANCELLED = {
    "ingred_ia.txt": '"9","7","ATORVASTATIN","I","20","MG","","","","","","","","",""\n'
    '"8","7","ATORVASTATIN","I","20","MG","","","","","","","","",""\n',
    "form_ia.txt": '"9","10","Tablet","Comprimé"\n"8","10","Tablet","Comprimé"\n',
    "schedule_ia.txt": '"9","Prescription","x"\n"8","Prescription","x"\n',
    "drug_ia.txt": '"9","Human","Human","00111111","OLDSTATIN","","N","","1","","","","",""\n'
    '"8","Human","Human","02242705","LIPITOR","","N","","1","","","","",""\n',
    "status_ia.txt": '"9","Y","CANCELLED POST MARKET","01-JAN-2020","","",""\n'
    '"8","Y","CANCELLED POST MARKET","01-JAN-2020","","",""\n',
}


TODAY = "2026-11-01"
PARTS = [name for name in EXTRACT if name != "comp.txt"]


def archive(path, files, folder=""):
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            member = zipfile.ZipInfo(folder + name, date_time=(2026, 11, 1, 8, 0, 0))
            made.writestr(member, text)
    return str(path)


@pytest.fixture
def extracts(tmp_path):
    return [
        archive(tmp_path / "allfiles.zip", EXTRACT),
        archive(tmp_path / "allfiles_ia.zip", CANCELLED, "folder/"),
    ]


@pytest.fixture
def run(tmp_path):
    config = tmp_path / "gateway.toml"
    config.write_text("[plugins.rx_queue]\n", encoding="utf-8")

    def ran(*words):
        return CliRunner().invoke(main, [*words, "--config", str(config)])

    return ran


def test_the_extract_is_loaded_and_counted(run, extracts):
    result = run("rx", "load-drugs", *extracts, "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "drugs": 4,
        "sold": 3,
        "dated": TODAY,
        "dry_run": False,
    }
    assert "drug.txt: 3 rows" in result.stderr
    again = run("rx", "load-drugs", extracts[0], "--json")
    assert json.loads(again.stdout)["drugs"] == 3


def test_a_dry_run_changes_nothing(run, extracts, tmp_path):
    result = run("rx", "load-drugs", *extracts, "--dry-run", "--json")

    assert json.loads(result.stdout) == {
        "drugs": 4,
        "sold": 3,
        "dated": TODAY,
        "dry_run": True,
    }
    assert not (tmp_path / "data").exists()


def test_the_files_may_be_named_one_by_one(run, tmp_path):
    for name, text in EXTRACT.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    result = run(
        "rx", "load-drugs", *(str(tmp_path / name) for name in EXTRACT if name != "comp.txt")
    )

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("missing", ["ingred.txt", "form.txt", "schedule.txt", "status.txt"])
def test_an_incomplete_extract_is_refused(run, tmp_path, missing):
    whole = {name: text for name, text in EXTRACT.items() if name != missing}

    result = run("rx", "load-drugs", archive(tmp_path / "allfiles.zip", whole))

    assert result.exit_code == 1
    assert f"{missing} is missing" in result.stderr


def test_an_extract_that_was_cut_short_is_refused(run, tmp_path):
    cut = {**EXTRACT, "schedule.txt": EXTRACT["schedule.txt"].splitlines(keepends=True)[0]}

    result = run("rx", "load-drugs", archive(tmp_path / "allfiles.zip", cut))

    assert result.exit_code == 1
    assert "1 of 3 products have schedules" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("orders.csv", "a,b\n", "no part of a DPD extract"),
        ("drug.txt", '"1","x"\n', "no product with a DIN"),
        ("form.txt", '"1","x","y"\n', "no product with a DIN"),
        ("drug.txt", '"' + "x" * 200_000 + '"\n', "can't be read as comma-separated"),
    ],
)
def test_what_is_no_extract_is_refused(run, tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")

    result = run("rx", "load-drugs", str(path))

    assert result.exit_code == 1
    assert message in result.stderr


async def loaded(gateway, *paths):
    from pathlib import Path

    from gateway_rx_queue.drugs import catalog as drugs
    from gateway_rx_queue.drugs.dpd import Extract

    extract = Extract()
    for path in paths:
        extract.read(Path(path))
    async with gateway.gateway.database.begin() as connection:
        await drugs.replace(connection, extract.drugs(), 0, extract.dated)


async def reasons(gateway, key, sent):
    queue_id = (await gateway.post("/api/rx", key, sent)).json()["queueId"]
    return (await gateway.get(f"/api/rx/{queue_id}", key)).json().get("reasons", [])


async def test_a_prescription_is_judged_by_the_catalog(gateway, key, rx, extracts):
    await loaded(gateway, *extracts)

    assert await reasons(gateway, key, rx(external_id="1")) == []
    cases = {
        "02247521": ["drug_not_found"],
        "00111111": ["din_discontinued", "drug_not_found"],
        "02230711": ["strength_mismatch"],
    }
    for din, expected in cases.items():
        found = await reasons(gateway, key, rx(external_id=din, medication__din=din))
        assert expected[0] in [each["code"] for each in found], din
    [ambiguous] = await reasons(
        gateway,
        key,
        rx(external_id="2", medication__din=None, medication__drug_text="Lipitor tab"),
    )
    assert ambiguous["code"] == "din_ambiguous"
    assert ambiguous["candidates"] == [
        {"value": "02230711", "label": "LIPITOR 10 MG Tablet"},
        {"value": "02242705", "label": "LIPITOR 20 MG Tablet"},
    ]
    [narrowed] = await reasons(
        gateway,
        key,
        rx(external_id="3", medication__din=None, medication__drug_text="atorvastatin 10 mg"),
    )
    assert [each["value"] for each in narrowed["candidates"]] == ["02230711"]
    narcotic = rx(external_id="4", medication__din="00326925", medication__drug_text="morphine 5mg")
    assert [each["code"] for each in await reasons(gateway, key, narcotic)] == [
        "controlled_substance"
    ]


async def test_health_says_whether_there_is_a_catalog(gateway, extracts):
    async def detail():
        [check] = [
            each for each in gateway.gateway.hooks.health_checks() if each.name == "rx-catalog"
        ]
        return (await check.check()).detail

    assert "gateway rx load-drugs" in await detail()
    await loaded(gateway, *extracts)
    assert await detail() == "the drug catalog has 4 products, of 2026-11-01"
