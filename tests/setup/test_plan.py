"""What a local run consists of follows from the environment alone."""

import pytest

from config import Config
from portal.cli.setup_plan import make_plan

KEYS = {
    "SECRET_KEY": "k" * 40,
    "ENCRYPTION_KEYS": "A" * 43 + "=",  # 32 bytes of nothing
    "SANDBOX_SECRET_KEY": "sk_test_sandbox",
    "SANDBOX_PUBLISHABLE_KEY": "pk_test_sandbox",
    "SANDBOX_WEBHOOK_SECRET": "whsec_sandbox",
}


def planned(tmp_path, **environ):
    return make_plan(environ, tmp_path, KEYS)


def test_without_settings_everything_is_ours(tmp_path):
    plan = planned(tmp_path)
    assert (plan.own_database, plan.own_redis, plan.own_sandbox, plan.demo) == (True, True, True, True)
    assert (plan.url, plan.sandbox_url) == ("http://127.0.0.1:8000", "http://127.0.0.1:8001")
    assert plan.environment["DATA_DIR"] == str(tmp_path / "var")
    assert plan.environment["DEMO"] == "1"


def test_another_port_moves_the_sandbox_and_the_addresses_along(tmp_path):
    plan = planned(tmp_path, PORT="9000")
    assert plan.environment["BASE_URL"] == "http://127.0.0.1:9000"
    assert plan.environment["STRIPE_API_BASE"] == plan.environment["SANDBOX_PUBLIC_URL"] == "http://127.0.0.1:9001"
    assert plan.environment["SANDBOX_WEBHOOK_URL"] == "http://127.0.0.1:9000/api/v1/webhooks/stripe"
    assert plan.web()[plan.web().index("--port") + 1] == "9000"


def test_portal_and_sandbox_are_told_the_same(tmp_path):
    told = planned(tmp_path).environment
    assert told["STRIPE_SECRET_KEY"] == told["SANDBOX_SECRET_KEY"] == "sk_test_sandbox"
    assert told["STRIPE_WEBHOOK_SECRET"] == told["SANDBOX_WEBHOOK_SECRET"] == "whsec_sandbox"
    assert told["STRIPE_CHECKOUT_ORIGIN"] == told["SANDBOX_PUBLIC_URL"]
    assert told["CLOCK_OFFSET_FILE"] == str(tmp_path / "var" / "clock-offset")


def test_a_stripe_key_of_ones_own_switches_the_sandbox_off(tmp_path):
    plan = planned(tmp_path, STRIPE_SECRET_KEY="sk_test_mine", STRIPE_WEBHOOK_SECRET="whsec_mine")
    assert not plan.own_sandbox
    assert plan.environment["STRIPE_SECRET_KEY"] == "sk_test_mine"
    assert plan.environment["STRIPE_WEBHOOK_SECRET"] == "whsec_mine"
    # Neither the sandbox's address nor a movable clock, and no demo pushed into somebody's Stripe account.
    assert not {"STRIPE_API_BASE", "CLOCK_OFFSET_FILE", "SANDBOX_URL"} & plan.environment.keys()
    assert not plan.demo


def test_a_database_or_redis_of_ones_own_is_used(tmp_path):
    plan = planned(tmp_path, DATABASE_URL="postgresql://db/portal", REDIS_URL="redis://cache/1")
    assert (plan.own_database, plan.own_redis, plan.own_sandbox) == (False, False, True)
    assert plan.environment["DATABASE_URL"] == "postgresql://db/portal"
    assert plan.environment["REDIS_URL"] == "redis://cache/1"
    assert not plan.demo


def test_an_empty_variable_counts_as_unset(tmp_path):
    assert planned(tmp_path, REDIS_URL="", STRIPE_SECRET_KEY="", PORT="").own_redis


def test_ones_own_keys_win_over_the_generated(tmp_path):
    assert planned(tmp_path, SECRET_KEY="mine").environment["SECRET_KEY"] == "mine"


def test_a_data_folder_is_told_to_children_in_full(tmp_path):
    assert planned(tmp_path, DATA_DIR="elsewhere").environment["DATA_DIR"] == str(tmp_path / "elsewhere")


def test_production_gets_nothing_made_up(tmp_path, monkeypatch):
    plan = planned(tmp_path, APP_ENV="production")
    assert not plan.own_sandbox
    assert not plan.demo
    assert not {"SECRET_KEY", "ENCRYPTION_KEYS", "STRIPE_SECRET_KEY", "CLOCK_OFFSET_FILE"} & plan.environment.keys()
    # … so that the portal itself refuses, naming what is missing.
    for name in ("SECRET_KEY", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in plan.environment.items():
        monkeypatch.setenv(name, value)
    assert any(problem.startswith("SECRET_KEY") for problem in Config().problems())


def test_the_portal_accepts_what_it_is_told(tmp_path, monkeypatch):
    for name, value in planned(tmp_path, PORT="9000").environment.items():
        monkeypatch.setenv(name, value)
    config = Config()
    config.require_sound()
    assert config.base_url == "http://127.0.0.1:9000"
    assert config.stripe_api_base == config.sandbox_url == "http://127.0.0.1:9001"
    assert config.demo


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "http"), ("PORT", "22"), ("SANDBOX_PORT", "70000"), ("DEMO", "maybe"), ("VERBOSE", "2")],
)
def test_a_value_that_does_not_fit_is_refused_by_name(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        planned(tmp_path, **{name: value})
