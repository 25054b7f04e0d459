"""Shapes in signatures are checked while testing only."""

import itertools

import pytest
from jaxtyping import install_import_hook

install_import_hook(["sercore.cnn14", "sercore.models", "sercore.losses"], "beartype.beartype")

from sercore.corpora import read, spoken  # noqa: E402  (after the hook, which must see the modules first)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """Small embedded corpora, as a study's `corpora`: real synthesised speech in the native layouts.

    In the MSP-Podcast layout other turns' sentences stand in for recognised ones, so that no test waits for ASR.
    """
    root = tmp_path_factory.mktemp("corpora")
    corpora = {}
    for name in ("iemocap", "msp-podcast"):
        spoken.speak(name, root / name, size=0.35, processes=1)
        corpora[name] = {"root": str(root / name)}
    said = read("iemocap", root / "iemocap").utterances["transcript"].tolist()
    heard = read("msp-podcast", root / "msp-podcast").utterances["utterance"]
    rows = [f'{utterance},"{text}"' for utterance, text in zip(heard, itertools.cycle(said), strict=False)]
    (root / "heard.csv").write_text("\n".join(["utterance,transcript", *rows]) + "\n", encoding="utf-8")
    corpora["msp-podcast"]["transcripts"] = str(root / "heard.csv")
    return corpora
