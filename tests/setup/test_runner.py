"""The test runner counts rightly, leaves nothing out in silence and keeps private settings from tests."""

import pytest

from tests.run import Pass, Tally, environment, left_out, missing, plan, read_tally

REPORT = '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="3"></testsuite></testsuites>'


def test_a_report_is_counted(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    # 9 tests − 3 skipped − (1 failure + 1 error) = 4 passed
    assert read_tally(report) == Tally(passed=4, failed=2, skipped=3)


def test_a_pytest_that_died_counts_as_a_failure(tmp_path):
    assert read_tally(tmp_path / "never-written.xml") == Tally(failed=1)


def test_the_last_line_adds_up():
    assert str(Tally(4, 2, 3) + Tally(10, 0, 0)) == "14 passed, 2 failed, 3 skipped"
    assert str(Tally(4, 0, 0)) == "4 passed, 0 failed"


def test_both_databases_are_tested_and_the_browser_once():
    assert plan("postgresql://server/", "/usr/bin/chromium", on="both", soak=False, thorough=True) == [
        Pass("SQLite", "", "not soak"),
        Pass("PostgreSQL", "postgresql://server/", "not soak and not thorough and not browser and not once"),
    ]


def test_one_database_is_enough_at_a_desk():
    assert plan("url", "/usr/bin/chromium", on="sqlite", soak=False, thorough=False) == [
        Pass("SQLite", "", "not soak and not thorough")
    ]


def test_without_postgres_and_browser_the_rest_is_tested():
    assert plan(None, None, on="both", soak=False, thorough=True) == [Pass("SQLite", "", "not soak and not browser")]


def test_postgres_alone_takes_the_browser_along():
    assert plan("url", "/usr/bin/chromium", on="postgres", soak=True, thorough=False) == [
        Pass("PostgreSQL", "url", "soak")
    ]


def test_what_is_left_out_is_said_with_the_way_to_change_it():
    assert left_out("url", "/usr/bin/chromium", on="both", thorough=True) == []
    lines = left_out(None, None, on="both", thorough=True)
    assert "TEST_POSTGRES_URL" in lines[0]
    assert "CHROMIUM" in lines[1]
    (line,) = left_out("url", "/usr/bin/chromium", on="sqlite", thorough=True)
    assert "TEST_ON=both" in line
    (line,) = left_out("url", "/usr/bin/chromium", on="both", thorough=False)
    assert "TEST_THOROUGH=1" in line


def test_what_is_required_and_missing_is_named():
    found = {"chromium": None, "postgres": "url", "redis": "url"}
    assert missing("", found) == []
    assert missing("chromium, postgres", found) == ["chromium"]
    with pytest.raises(ValueError, match="not firefox"):
        missing("firefox", found)


def test_settings_of_the_keyboard_are_kept_from_tests(monkeypatch):
    for name in ("DATABASE_URL", "STRIPE_SECRET_KEY", "SMTP_HOST", "SECRET_KEY", "SANDBOX_PORT"):
        monkeypatch.setenv(name, "precious")
    monkeypatch.setenv("HOME", "/home/me")
    env = environment("unix:///redis.sock", "", None)
    assert "precious" not in env.values()
    assert (env["HOME"], env["APP_ENV"], env["REDIS_URL"]) == ("/home/me", "test", "unix:///redis.sock")
