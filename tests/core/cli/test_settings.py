"""``gateway settings``: what holds, where it comes from, and no secret."""

import json


def test_every_setting_is_listed_with_its_origin_and_no_secret(run, config, monkeypatch):
    monkeypatch.setenv("GATEWAY_LOGGING__LEVEL", "error")
    config.write_text(
        f'{config.read_text()}\n[security]\nmaster_key = "index hunter2"\n', encoding="utf-8"
    )
    result = run("settings", "--json")
    rows = {(each["table"], each["key"]): each for each in json.loads(result.stdout)}

    assert result.exit_code == 0
    assert rows["[logging]", "level"]["value"] == "error"
    assert rows["[logging]", "level"]["from"] == "GATEWAY_LOGGING__LEVEL"
    assert rows["[limits]", "orders_per_hour"]["from"] is None
    assert rows["[security]", "master_key"]["value"] == "•••••"
    assert "hunter2" not in result.stdout
