// The sound of an utterance with its spectrogram as the timeline: see sound.Player.
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
const STEP = 0.1; // of an arrow key [s]
const DRAG = 4; // pixels from which a press is a drag
const MARKUP = `
<div class="plot">
  <div class="frequencies" aria-hidden="true"></div>
  <div class="timeline" role="slider" tabindex="0" aria-label="time" aria-valuemin="0">
    <img alt="" draggable="false"><div class="loop" hidden></div><div class="cursor"></div>
  </div>
  <div class="seconds" aria-hidden="true"></div>
</div>
<div class="controls">
  <button type="button" class="play"></button>
  <output></output>
  <label>speed <select>${SPEEDS.map((speed) => `<option value="${speed}">${speed} ×</option>`).join("")}</select></label>
  <button type="button" class="whole" disabled>play all of it</button>
  <span class="keys">Space plays, arrows move, a drag loops; [ and ] set the loop's ends, Escape ends it, &lt; and &gt; change the speed.</span>
</div>
<audio></audio>`;

/** The step between labels of an axis of `length` seconds: the smallest of 1, 2, 5 times a power of ten that gives at most `most`. */
function stepOf(length, most) {
  const least = length / most;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}

/** The address of `content`: of bytes, one that is to be revoked; text is an address itself. */
function addressOf(content, type) {
  if (typeof content === "string") return content;
  return content?.byteLength ? URL.createObjectURL(new Blob([content], { type })) : "";
}

function render({ model, el }) {
  el.classList.add("sercore-player");
  el.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves the keys to this
  el.setAttribute("role", "group");
  el.innerHTML = MARKUP;
  const find = (name) => el.querySelector(name);
  const [audio, timeline, image, cursor, region] = ["audio", ".timeline", "img", ".cursor", ".loop"].map(find);
  const [play, whole, speed, output] = [".play", ".whole", "select", "output"].map(find);
  let [loop, heard, seen] = [null, "", ""]; // [start, end] in seconds; the addresses of sound and picture

  const length = () => (Number.isFinite(audio.duration) ? audio.duration : 0);
  const span = () => (seen ? model.get("span") : [0, length() || 1]);
  const share = (time) => (time - span()[0]) / (span()[1] - span()[0]); // of the timeline's width
  const timeAt = (x) => {
    const { left, width } = timeline.getBoundingClientRect();
    const [start, end] = span();
    return Math.max(0, Math.min(length(), start + ((x - left) / width) * (end - start)));
  };

  const draw = () => {
    cursor.style.left = `${100 * share(audio.currentTime)}%`;
    region.hidden = !loop;
    if (loop) {
      region.style.left = `${100 * share(loop[0])}%`;
      region.style.width = `${100 * (share(loop[1]) - share(loop[0]))}%`;
    }
    whole.disabled = !loop;
    output.textContent =
      `${audio.currentTime.toFixed(2)} of ${length().toFixed(2)} s` +
      (loop ? `, loop ${loop[0].toFixed(2)} to ${loop[1].toFixed(2)} s` : "");
    play.textContent = audio.paused ? "play" : "pause";
  };
  const tell = () => {
    timeline.setAttribute("aria-valuemax", length().toFixed(2));
    timeline.setAttribute("aria-valuenow", audio.currentTime.toFixed(2));
    timeline.setAttribute("aria-valuetext", output.textContent);
  };
  const follow = () => {
    if (loop && audio.currentTime >= loop[1]) audio.currentTime = loop[0];
    draw();
    if (!audio.paused) requestAnimationFrame(follow);
  };
  const start = () => audio.play().catch(() => draw()); // refused before the first click on the page: the button says so
  const toggle = () => (audio.paused ? start() : audio.pause());
  const seek = (time) => {
    audio.currentTime = Math.max(0, Math.min(length(), time));
    if (loop && (audio.currentTime < loop[0] || audio.currentTime > loop[1])) loop = null;
    draw();
    tell();
  };
  const setLoop = (one, other) => {
    const ends = [Math.min(one, other), Math.max(one, other)];
    loop = ends[1] - ends[0] < 0.02 ? null : ends;
    if (loop) audio.currentTime = loop[0];
    draw();
    tell();
  };
  const setSpeed = (value) => {
    speed.value = audio.playbackRate = audio.defaultPlaybackRate = value;
  };

  const load = () => {
    URL.revokeObjectURL(heard);
    loop = null;
    heard = addressOf(model.get("sound"), "audio/wav");
    if (!heard) {
      audio.removeAttribute("src");
      audio.load();
      return;
    }
    audio.src = heard;
    start();
  };
  const show = () => {
    URL.revokeObjectURL(seen);
    seen = addressOf(model.get("picture"), "image/png");
    image.hidden = !seen;
    timeline.classList.toggle("bare", !seen);
    if (seen) image.src = seen;
    else image.removeAttribute("src");
    image.alt = seen ? model.get("label") : "";
    find(".frequencies").replaceChildren(...(seen ? model.get("ticks") : []).map(([height, text]) => mark(text, "bottom", height)));
    drawSeconds();
  };
  const mark = (text, side, place) => {
    const made = document.createElement("span");
    made.textContent = text;
    made.style[side] = `${100 * place}%`;
    return made;
  };
  const drawSeconds = () => {
    const [from, to] = span();
    const step = stepOf(to - from, Math.max(2, timeline.clientWidth / 70));
    const times = Array.from({ length: Math.floor(to / step) + 1 }, (_, n) => n * step);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    const labels = times.filter((time) => time >= from).map((time) => mark(time.toFixed(digits), "left", share(time)));
    if (labels.length) labels[labels.length - 1].textContent += " s";
    find(".seconds").replaceChildren(...labels);
    draw();
  };

  let pressed = null;
  timeline.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pressed = event.clientX;
    timeline.setPointerCapture(event.pointerId);
  });
  timeline.addEventListener("pointermove", (event) => {
    if (pressed !== null && Math.abs(event.clientX - pressed) >= DRAG) setLoop(timeAt(pressed), timeAt(event.clientX));
  });
  timeline.addEventListener("pointerup", (event) => {
    if (pressed === null) return;
    if (Math.abs(event.clientX - pressed) >= DRAG) start();
    else seek(timeAt(event.clientX));
    pressed = null;
  });
  timeline.addEventListener("pointercancel", () => (pressed = null));

  const change = (by) => setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.indexOf(audio.playbackRate) + by, SPEEDS.length - 1))]);
  const end = () => {
    loop = null;
    draw();
  };
  const keys = {
    " ": toggle,
    ArrowLeft: () => seek(audio.currentTime - STEP),
    ArrowRight: () => seek(audio.currentTime + STEP),
    Home: () => seek(0),
    End: () => seek(length()),
    "[": () => setLoop(audio.currentTime, loop ? loop[1] : length()),
    "]": () => setLoop(loop ? loop[0] : 0, audio.currentTime),
    "<": () => change(-1),
    ">": () => change(1),
    Escape: end,
  };
  el.addEventListener("keydown", (event) => {
    const own = event.target === speed || (event.target.tagName === "BUTTON" && event.key === " ");
    if (own || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  play.addEventListener("click", toggle);
  whole.addEventListener("click", end);
  speed.addEventListener("change", () => setSpeed(Number(speed.value)));
  for (const event of ["play", "pause", "ended", "loadedmetadata"]) audio.addEventListener(event, () => (follow(), tell()));
  for (const event of ["seeked", "timeupdate"]) audio.addEventListener(event, draw); // also where a pause comes before it has moved
  audio.addEventListener("loadedmetadata", drawSeconds);
  audio.addEventListener("ended", () => loop && ((audio.currentTime = loop[0]), start())); // a loop to the very end
  const resized = new ResizeObserver(drawSeconds);
  resized.observe(timeline);
  model.on("change:sound", load);
  model.on("change:picture", show);
  setSpeed(1);
  show();
  load();
  return () => {
    resized.disconnect();
    audio.pause();
    URL.revokeObjectURL(heard);
    URL.revokeObjectURL(seen);
  };
}

export default { render };
