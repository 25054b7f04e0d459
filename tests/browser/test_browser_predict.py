"""The prediction notebook in Chromium, in Voila and in JupyterLab: a file that is uploaded, and a recording.

Chromium's own fake microphone beeps: the page must receive the sound and answer it.
"""

import re

import pytest
import soundfile
from conftest import PICTURES, TOKEN, rendered

pytestmark = pytest.mark.browser
SECONDS = 2


@pytest.fixture(params=["voila", "lab"])
def opened(page, request):
    """The notebook with all of it run, its record button in sight."""
    page.context.grant_permissions(["microphone"])
    if request.param == "voila":
        page.goto(rendered(request.getfixturevalue("voila"), "predict"))
    else:
        page.goto(f"{request.getfixturevalue('lab')}/lab/tree/predict.ipynb?token={TOKEN}&reset")
        page.locator(".jp-Notebook").wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        for _ in range(240):
            page.locator(".jp-WindowedPanel-outer").evaluate("panel => panel.scrollTo(0, panel.scrollHeight)")
            page.wait_for_timeout(500)
            if page.get_by_role("button", name="Record").count():
                break
    button = page.get_by_role("button", name="Record")
    button.wait_for(timeout=180_000)
    button.scroll_into_view_if_needed()
    return page, request.param


def answer(page, name):
    """The table's row of the file `name`, once it is there."""
    row = page.locator("table.dataframe tr", has=page.get_by_text(name, exact=True)).last
    row.wait_for()
    return row


def test_a_file_is_uploaded_and_answered(opened, held):
    page, where = opened
    sound = held["msp-podcast"].root / held["msp-podcast"].utterances["file"].iloc[0]
    with page.expect_file_chooser() as chooser:
        page.locator(".widget-upload").click()
    chooser.value.set_files(sound)
    row = answer(page, sound.name)
    assert len(re.findall(r"\d\.\d+", row.inner_text())) >= 3  # arousal, valence, dominance
    seconds = page.locator("audio").last.evaluate("sound => sound.duration")
    assert seconds == pytest.approx(soundfile.info(sound).duration, abs=0.1)
    page.screenshot(path=PICTURES / f"predict_{where}.png")


def test_a_recording_is_played_and_answered(opened):
    page, _ = opened
    page.get_by_role("button", name="Record").click()
    page.get_by_text("recording", exact=True).wait_for()
    page.wait_for_timeout(1000 * SECONDS)
    page.get_by_role("button", name="Stop").click()
    page.get_by_text(re.compile(r"\d\.\d s recorded")).wait_for()
    row = answer(page, "recording.wav")
    assert len(re.findall(r"\d\.\d+", row.inner_text())) >= 3
    seconds = page.locator("audio").last.evaluate("sound => sound.duration")
    assert seconds == pytest.approx(SECONDS, abs=1)
