"""A recording from the browser's microphone, and a file from its disk, given to a trained model in a notebook.

The browser records, decodes whatever format it recorded in, and sends 16-bit mono WAV at 16 kHz as text into a field
of the notebook that is not shown: no extension is needed, in JupyterLab and Voila alike. A browser lends its microphone
only to pages of this machine or over https.
"""

import base64
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import ipywidgets
import pandas as pd
from IPython.display import HTML, Audio, display

from sercore import files
from sercore.analysis import confidence

Answers = Callable[..., pd.DataFrame]
"""Called with paths and the names `texts`, `windows` and `recogniser`, as inference.predictor.Predictor."""
RATE = 16_000  # of a recording [Hz]
LONGEST = 120  # of a recording [s]: 5 MB of text
RECORDER = Template("""
<button class="jupyter-button $name-button" style="width: auto; padding: 0 1em">Record</button>
<span class="$name-status"></span>
<script>
(() => {
  const [button, status] = ["button", "status"].map((part) => document.querySelector(".$name-" + part));
  let recorder = null;
  const wav = (samples, rate) => {
    const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
    const name = (at, text) => [...text].forEach((sign, i) => view.setUint8(at + i, sign.charCodeAt(0)));
    name(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); name(8, "WAVEfmt ");
    view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
    view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true);
    view.setUint16(34, 16, true); name(36, "data"); view.setUint32(40, 2 * samples.length, true);
    samples.forEach((x, i) => view.setInt16(44 + 2 * i, 32767 * Math.max(-1, Math.min(1, x)), true));
    return new Uint8Array(view.buffer);
  };
  const send = async (parts) => {
    const sound = await new AudioContext().decodeAudioData(await new Blob(parts).arrayBuffer());
    const offline = new OfflineAudioContext(1, Math.ceil(sound.duration * $rate), $rate);
    const source = offline.createBufferSource();
    source.buffer = sound; source.connect(offline.destination); source.start();
    const bytes = wav((await offline.startRendering()).getChannelData(0), $rate);
    let text = "";
    for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
    const field = document.querySelector(".$name textarea");
    field.value = btoa(text);
    field.dispatchEvent(new Event("input", {bubbles: true}));
    field.dispatchEvent(new Event("change", {bubbles: true}));
    status.textContent = sound.duration.toFixed(1) + " s recorded";
  };
  button.onclick = async () => {
    if (recorder) { recorder.stop(); return; }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({audio: true});
      const parts = [];
      recorder = new MediaRecorder(stream);
      recorder.ondataavailable = (event) => parts.push(event.data);
      recorder.onstop = async () => {
        stream.getTracks().forEach((track) => track.stop());
        recorder = null; button.innerHTML = "Record";
        try { await send(parts); } catch (error) { status.textContent = "cannot be read: " + error.message; }
      };
      recorder.start(); button.innerHTML = "Stop"; status.textContent = "recording";
      setTimeout(() => { if (recorder) recorder.stop(); }, 1000 * $longest);
    } catch (error) { status.textContent = "no microphone: " + error.message; }
  };
})();
</script>
""")


class Recorder:
    """A button that records, a button that uploads, and the model's answers to their sounds."""

    def __init__(
        self,
        predictor: Answers,
        uses_text: bool,
        recogniser: Any = None,
        windows: float | None = None,
        draw: Callable[[pd.DataFrame], Any] | None = None,
        reject_below: float | None = None,
    ) -> None:
        """Make the buttons.

        Args:
            predictor: The model.
            uses_text: Whether the model takes text; a field for it is shown then.
            recogniser: Transcribes a sound while that field is empty; without one, its text is the empty text.
            windows: Length of windows for answers over time [s].
            draw: Makes a figure of the answers over time.
            reject_below: The confidence below which an emotion is "not sure"; a field changes it, also of the answers
                that are shown. None: a model of ratings, which has no confidence.
        """
        self.predictor, self.recogniser, self.windows, self.draw = predictor, recogniser, windows, draw
        self.answers: pd.DataFrame | None = None  # the last ones, as they are shown
        self._sounds: dict[str, bytes] = {}
        self._given: pd.DataFrame | None = None  # the last ones of the model
        self.upload = ipywidgets.FileUpload(accept="audio/*,.wav,.flac,.mp3,.ogg", multiple=True, description="Upload")
        self.text = ipywidgets.Textarea(description="transcript", placeholder="empty: none, or recognised")
        self.text.layout.display = "" if uses_text else "none"
        self.uses_text = uses_text
        self.threshold = ipywidgets.BoundedFloatText(
            reject_below or 0.0, min=0, max=1, step=0.01, description="not sure below"
        )
        self.threshold.style.description_width = "initial"
        self.threshold.layout.display = "none" if reject_below is None else ""
        self.sent = ipywidgets.Textarea()
        self.name = f"sercore-{uuid.uuid4().hex[:8]}"  # the page may hold other recorders
        self.sent.add_class(self.name)
        self.sent.layout.display = "none"
        self.output = ipywidgets.Output()
        self.upload.observe(lambda change: self._uploaded(change["new"]), "value")
        self.threshold.observe(lambda _: self._moved(), "value")
        self.sent.observe(lambda change: self._recorded(change["new"]), "value")

    def show(self) -> None:
        """Display it."""
        display(ipywidgets.VBox([self.upload, self.text, self.threshold, self.sent]))
        display(HTML(RECORDER.substitute(name=self.name, rate=RATE, longest=LONGEST)))
        display(self.output)

    def predict(self, sounds: dict[str, bytes]) -> pd.DataFrame:
        """The model's answers to `sounds` (name -> content of a file), with these names in the column `file`."""
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for number, (name, content) in enumerate(sounds.items()):
                path = Path(folder) / f"{number}{Path(name).suffix.lower()}"
                files.write_bytes(path, content)
                paths[path] = name
            options = {}
            if self.uses_text:
                options["texts"] = self.text.value or (None if self.recogniser is not None else "")
                options["recogniser"] = self.recogniser
            table = self.predictor(list(paths), windows=self.windows, **options)
            self._given = table.assign(file=[paths[Path(path)] for path in table["file"]])
        return self._decided(self._given)

    def _decided(self, given: pd.DataFrame) -> pd.DataFrame:
        """The model's answers `given`, "not sure" where the confidence is below the field's."""
        self.answers = confidence.reject(given, self.threshold.value) if self.threshold.value else given
        return self.answers

    def _uploaded(self, uploads: tuple[dict[str, Any], ...]) -> None:
        if uploads:
            self._answer({upload["name"]: bytes(upload["content"]) for upload in uploads})

    def _recorded(self, sent: str) -> None:
        if sent:
            self._answer({"recording.wav": base64.b64decode(sent)})
            self.sent.value = ""  # so that the same recording may be sent again

    def _answer(self, sounds: dict[str, bytes]) -> None:
        self._sounds, self._given = sounds, None
        self._show(lambda: self.predict(sounds))

    def _moved(self) -> None:
        """Show the last answers again, when the field has changed."""
        given = self._given
        if given is not None:
            self._show(lambda: self._decided(given))

    def _show(self, answer: Callable[[], pd.DataFrame]) -> None:
        self.output.clear_output(wait=True)
        with self.output:
            for content in list(self._sounds.values())[:1]:
                display(Audio(data=content))
            answers = answer()
            display(answers.drop(columns="error") if answers["error"].isna().all() else answers)
            if self.draw is not None and self.windows is not None and answers["error"].isna().any():
                display(self.draw(answers))
