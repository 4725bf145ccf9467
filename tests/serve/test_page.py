"""The page at /, in a real browser: what a person sees is what SQL answers."""

from __future__ import annotations

import subprocess

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import sqlinfer
from tests.processes import HANG
from tests.serve.browsing import Page, browser
from tests.serve.serving import serving

pytest.importorskip("uvicorn")

# What would run, or be read as markup, were it put into the page as it is.
FEATURES = ["<img src=x onerror=alert(1)>", "a'b\"c & d"]
CLASSES = ["<b id=bold>yes</b>", "</script><script>document.title='taken'</script>"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(chromium, server):
    page = Page(chromium, f"http://{server.host}:{server.port}")
    page.complaints()
    yield page
    assert page.complaints() == []


@pytest.fixture(scope="module")
def sql(registry):
    with sqlinfer.connect(registry=registry) as con:
        yield lambda query, *given: con.execute(query, *given).fetchone()[0]


def test_an_example_stands_in_the_form_and_is_answered(page, server, sql):
    page.open("iris")
    example = server.get("/models/iris").json()["examples"][0]
    answer = sql("SELECT predict('iris', ?, ?, ?, ?)", [float(text) for text in example])
    assert page.predict() == answer
    page.open("churn")
    shown = {"age": "61.5", "income": "20.25", "visits": "3", "city": "Genève"}
    for feature, value in shown.items():
        page.fill(feature, value)
    answer = sql("SELECT predict('churn', 61.5, 20.25, 3, 'Genève')")
    assert page.predict() == str(answer).lower()
    chances = sql("SELECT predict_proba('churn', 61.5, 20.25, 3, 'Genève')")
    assert page.probabilities() == {str(label).lower(): chance for label, chance in chances.items()}
    assert "churn version 1, sha256 " in page.one("#took").text


def test_nulls_are_sent_as_nulls(page, sql):
    page.open("churn")
    for feature, value in {"age": "61.5", "income": None, "visits": "3", "city": None}.items():
        page.fill(feature, value)
    page.predict()
    chances = sql("SELECT predict_proba('churn', 61.5, NULL, 3, NULL)")
    assert page.probabilities() == {str(label).lower(): chance for label, chance in chances.items()}


@pytest.mark.parametrize(
    ("model", "feature", "typed", "shown"),
    [
        ("same_int", "x", "9223372036854775807", "9223372036854775807"),
        ("same_double", "x", ".1", "0.1"),
        ("same_double", "x", "-inf", "-Infinity"),
        ("same_double", "x", "", "NULL"),
        ("same_text", "x", 'it\'s "quoted" & <b>', 'it\'s "quoted" & <b>'),
        ("negate", "x", "true", "false"),
        ("mean", "x", "[1, 2.5,\n 4]", "2.5"),
        ("echo", "x", "[9223372036854775807, -1]", "[9223372036854775807, -1]"),
    ],
)
def test_values_keep_their_digits_and_characters(page, model, feature, typed, shown):
    page.open(model)
    page.fill(feature, typed)
    assert page.predict() == shown


def test_a_reference_is_chosen(page, sql):
    page.open("iris@careful")
    for feature, value in {"sl": "6.1", "sw": "2.9", "pl": "4.8", "pw": "1.6"}.items():
        page.fill(feature, value)
    page.predict()
    assert page.probabilities() == sql("SELECT predict_proba('iris/2', 6.1, 2.9, 4.8, 1.6)")
    assert page.one("#took").text.startswith("iris version 2")


def test_what_cannot_be_sent_is_said_beside_it(page):
    page.open("width")
    page.fill("pl", "1,5")
    page.one("#predict").click()
    assert page.one(".wrong").text == "DOUBLE: a number, or nothing for NULL"
    assert page.browser.switch_to.active_element.get_attribute("id") == page.control("pl").get_attribute("id")
    page.fill("pl", "1.5")
    assert float(page.predict()) and not [one for one in page.all(".wrong") if one.is_displayed()]


def test_an_error_of_the_server_is_shown(chromium, server):
    page = Page(chromium, f"http://{server.host}:{server.port}")
    page.open("bytesum")
    page.fill("x", "[1, 300]")
    assert "300" in page.predict() and page.all("#answer .error")
    page.fill("x", "[1, 200]")
    assert page.predict() == "201.0"
    page.complaints()  # the browser tells of the 400


def test_the_keyboard_and_a_reader_of_the_screen_get_everywhere(page):
    from selenium.webdriver.common.keys import Keys

    page.open("churn")
    page.one("#predict")
    controls = [one for one in page.all("input, select, textarea, button, a") if one.is_displayed()]
    assert all(one.accessible_name for one in controls)
    page.control("age").send_keys(Keys.ENTER)  # as in any form
    assert page.one("#result").text in ("true", "false")
    assert page.one("#answer").get_attribute("aria-live") == "polite"


def test_the_curl_command_answers_the_same(page):
    page.open("same_text")
    page.fill("x", 'it\'s "q" \\ $HOME `x`')
    ran = subprocess.run(["sh", "-c", page.one("#curl").text], capture_output=True, text=True, timeout=HANG, check=True)
    assert ran.stdout == '{"predictions":["it\'s \\"q\\" \\\\ $HOME `x`"]}'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.random((200, 2)), columns=FEATURES)
    model = LogisticRegression().fit(rows, np.where(rows[FEATURES[0]] > 0.5, *CLASSES))
    registry = sqlinfer.Registry(tmp_path_factory.mktemp("hostile"))
    sqlinfer.register("hostile", model, sample=rows, registry=registry, target="<u>left</u>")
    return registry


def test_a_token_is_asked_for_and_names_are_no_markup(chromium, hostile, tmp_path):
    (tmp_path / "token").write_text("it-is-secret\n")
    with serving(hostile, "--token-file", str(tmp_path / "token")) as server:
        page = Page(chromium, f"http://{server.host}:{server.port}")
        page.open()
        page.one("#token").send_keys("wrong\n")
        assert "token" in page.until(lambda: page.one("#status").text)
        page.one("#token").send_keys("it-is-secret\n")
        assert page.predict() in CLASSES
        assert set(page.probabilities()) == set(CLASSES)
        assert [one.text for one in page.all(".field label b")] == FEATURES
        assert not page.all("#bold, #content img, #content script, #content u")
        assert page.browser.title == "hostile · sqlinfer"
        assert "$TOKEN" in page.one("#curl").text and "secret" not in page.one("#curl").text
        assert all("401" in complaint for complaint in page.complaints())


def test_the_page_runs_nothing_but_its_own_script(server):
    for path, kind in [("/", "text/html"), ("/page/page.js", "text/javascript"), ("/page/page.css", "text/css")]:
        answer = server.get(path)
        assert answer.status == 200 and answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
        assert b"http:" not in answer.body and b"https:" not in answer.body
