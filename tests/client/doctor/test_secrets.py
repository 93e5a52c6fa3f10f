"""What leaves the machine holds no secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.client.doctor.secrets import HIDDEN, Scrubber

SECRET = "h&nt<er>2$x"


@pytest.mark.parametrize(
    "text",
    [
        f"https://ann:{SECRET}@host/x",
        f"reading http://host:80/a/b?token={SECRET}&x=1 failed",
        f"Authorization: Bearer {SECRET}",
        f"password = {SECRET}",
        f'"api_key": "{SECRET}"',
        f'"tokens": [\n  "other",\n  "{SECRET}"\n]',
        f"MY_SECRET_THING='{SECRET}'",
        f"serve --auth-token {SECRET} --socket x",
    ],
)
def test_where_secrets_stand_nothing_is_left(text):
    scrubbed = Scrubber([], {})(text)
    assert SECRET not in scrubbed and HIDDEN in scrubbed


@pytest.mark.parametrize(
    "text", ["https://host/a/b is missing", "job 1 (smooth) failed", '{"state": "done"}', "a@b", "x = 1"]
)
def test_what_is_no_secret_stays(text):
    assert Scrubber([], {})(text) == text


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=8, max_size=40), st.text(max_size=20))
def test_a_known_secret_is_left_nowhere(secret, around):
    scrub = Scrubber([], {"DEPLOY_TOKEN": secret, "BLOCKMILL_TOKENS": f"host {secret}"})
    text = scrub(f"{around}{secret}{around}" + json.dumps({"x": secret}))
    assert secret not in text.replace(HIDDEN, "") or secret in around * 2


def test_keys_and_token_files_are_known(tmp_path):
    (tmp_path / "client.key_secret").write_text(
        'curve\n    public-key = "abcd"\n    secret-key = "Zs:ecret"\n'
    )
    (tmp_path / "tokens").write_text("# ours\nhost:80 tok-en-1\n")
    scrub = Scrubber([tmp_path], {"BLOCKMILL_TOKENS_FILE": str(tmp_path / "tokens")})
    assert scrub("a Zs:ecret and tok-en-1, abcd") == f"a {HIDDEN} and {HIDDEN}, abcd"


def test_of_the_environment_only_what_bears_on_us_is_told():
    environ = {
        "BLOCKMILL_SOCKET": "/run/s",
        "BLOCKMILL_TOKENS": "host abcdefgh",
        "AWS_THING": "x",
        "TZ": "UTC",
    }
    variables = Scrubber([], environ).environment()
    assert variables == {"BLOCKMILL_SOCKET": "/run/s", "BLOCKMILL_TOKENS": HIDDEN, "TZ": "UTC"}


def test_a_long_line_takes_no_long_time():
    Scrubber([], {})("token-" * 40_000 + "a" * 200_000 + "://" + "b" * 200_000)
