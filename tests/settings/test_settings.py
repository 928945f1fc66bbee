from __future__ import annotations

from pathlib import Path

import pytest

from muster import settings

ROOT = Path(__file__).parents[2]


def test_the_page_in_docs_is_what_is_printed() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings.markdown()


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PODS_QPS", "7")
    monkeypatch.setenv("MUSTER_NOMINATE", "false")
    assert (settings.load().pods_qps, settings.load().nominate) == (7, False)
    assert settings.load(pods_qps="9", nominate=None).pods_qps == 9


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        pytest.param("MUSTER_PODS_QPS", "many", "valid number", id="no number"),
        pytest.param("MUSTER_PODS_BURST", "-1", "greater than or equal to 0", id="out of bounds"),
        pytest.param("MUSTER_LOG_LEVEL", "loud", "'debug', 'info'", id="not one of"),
        pytest.param("MUSTER_LEADER_ELECT", "perhaps", "boolean", id="no boolean"),
        pytest.param(
            "MUSTER_WATCH_NAMESPACES", "team-a,Team_B", "'Team_B' cannot be the name of a namespace", id="no name"
        ),
        pytest.param("MUSTER_PLAN_QUIET_MS", "99", "MUSTER_PLAN_LATEST_MS", id="two that contradict each other"),
    ],
)
def test_a_bad_value_says_what_and_where(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(settings.SettingsError) as raised:
        settings.load()
    message = str(raised.value)
    assert name in message
    assert value in message
    assert says in message
    assert "\n" not in message


def test_no_setting_bears_the_name_of_a_service_variable() -> None:
    linked = {
        "MUSTER_SERVICE_HOST": "",
        "MUSTER_PORT": "",
        "MUSTER_METRICS_PORT_8080_TCP_ADDR": "",
        "MUSTER_METRICS_PORT": "",
    }
    assert not {settings.variable(name) for name in settings.Settings.model_fields} & set(linked)
    assert settings.unknown_variables({**linked, "MUSTER_PODS_QSP": "", "MUSTER_PODS_QPS": ""}) == ["MUSTER_PODS_QSP"]


def test_listens_on_loopback_unless_in_a_pod() -> None:
    plain = settings.load(bind_host="")
    assert plain.bind_host_or_default({}) == "127.0.0.1"
    assert plain.bind_host_or_default({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is None
    assert settings.load(bind_host="::1").bind_host_or_default({}) == "::1"


def test_the_lease_lives_beside_the_pod(tmp_path: Path) -> None:
    (tmp_path / "namespace").write_text("here\n")
    assert settings.load().lease_namespace_or_default(tmp_path / "namespace") == "here"
    assert settings.load().lease_namespace_or_default(tmp_path / "none") == "muster-system"


def test_namespaces_are_separated_by_commas() -> None:
    assert settings.load(watch_namespaces="team-a, team-b,").namespaces() == {"team-a", "team-b"}
    assert settings.load().namespaces() == frozenset()
