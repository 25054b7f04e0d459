"""Speech recognisers behind one call: a waveform in, its transcription out.

Two kinds of weights are read: Whisper's in CTranslate2's format (by faster-whisper, which one package brings for
machines without internet), and any speech-recognition model of Hugging Face's transformers: Whisper and its like,
which write word after word, and wav2vec 2.0 and its like, which name a letter in every frame (CTC).
"""

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from sercore.features.hub import CTRANSLATE2, ENGINE, LANGUAGE, LOCAL, locate, quiet_transformers
from sercore.schema import did_you_mean

SAMPLE_RATE = 16_000  # of the input of all of them [Hz]
FRAMES_PER_SECOND = 100  # of Whisper's spectrogram
WINDOWS = (10, 20, 30)  # of audio that is transcribed at once [s]: the shortest that leaves SPARE
"""Whisper's own is 30; with 10, synthetic speech takes a sixth of the time at about the same WER (.31 and .34)."""
SPARE = 4  # [s]; with less silence after the speech, Whisper repeats itself
SHORTEST = 0.1  # [s]; what is shorter is followed by silence, for networks without a frame in it
TOKENS_PER_SECOND, TOKENS = 8, 16  # longest answer: so many per second of speech and so many more
SILENT, DOUBTFUL = 0.6, 0.3  # no speech: probability of silence above, confidence below (Whisper's own thresholds)
UNLIKELY = 1e-30  # least confidence, lest its logarithm be infinite
NEVER_SAVED = ("masked_spec_embed", "proj_out.weight")  # of no use in recognition; the same as another weight


class Transcription(NamedTuple):
    """Transcript of a waveform by speech recognition."""

    transcript: str
    confidence: float  # geometric mean of the probabilities of the tokens, or of the frames with a letter


class _Engine(Protocol):
    def transcribe(self, waveform: np.ndarray) -> Transcription:
        """Transcribe `waveform` (samples,), at most 30 s at 16 kHz."""


class Recogniser:
    """A loaded model. Each call uses one thread of CTranslate2, whose `workers` calls may run at a time."""

    def __init__(self, engine: str = ENGINE, beam: int = 1, workers: int = 1, language: str = LANGUAGE) -> None:
        """Find and load `engine`, one of hub.locate. Raises what hub.locate raises."""
        weights = locate(engine)
        self._engine: _Engine = (
            _FasterWhisper(weights.folder, beam, workers, language)
            if weights.kind == CTRANSLATE2
            else _load_transformers(weights.folder, beam, language)
        )

    def transcribe(self, waveform: np.ndarray) -> Transcription:
        """Transcribe `waveform` (samples,), mono at 16 kHz; a longer one is cut into parts of 30 s."""
        most = WINDOWS[-1] * SAMPLE_RATE
        parts = [self._engine.transcribe(waveform[start : start + most]) for start in range(0, len(waveform), most)]
        weights = [max(1, len(part.transcript)) for part in parts]
        confidence = math.exp(np.average([math.log(part.confidence) for part in parts], weights=weights))
        return Transcription(" ".join(part.transcript for part in parts if part.transcript), confidence)


class _FasterWhisper:
    """Whisper by CTranslate2, in int8, in windows as short as the speech allows."""

    def __init__(self, folder: str, beam: int, workers: int, language: str) -> None:
        from faster_whisper import WhisperModel  # takes a second to import
        from faster_whisper.tokenizer import Tokenizer

        if language not in LANGUAGES:
            raise ValueError(f"no language '{language}'{did_you_mean(language, LANGUAGES)}; expected its code, as en")
        try:
            self._model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1, num_workers=workers)
        except LocalEntryNotFoundError as error:
            raise ValueError(
                f"the speech recogniser '{folder}' is not on this machine and cannot be downloaded; expected a "
                "network, or a folder that holds one"
            ) from error
        multilingual = self._model.model.is_multilingual
        _check_language(folder, language, multilingual)
        self._tokens = Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language=language)
        self._prompt = [*self._tokens.sot_sequence, self._tokens.no_timestamps]
        self._beam = beam

    def transcribe(self, waveform: np.ndarray) -> Transcription:
        from ctranslate2 import StorageView

        seconds = len(waveform) / SAMPLE_RATE
        window = next((known for known in WINDOWS if seconds + SPARE <= known), WINDOWS[-1])
        frames = window * FRAMES_PER_SECOND
        logmel = self._model.feature_extractor(waveform.astype(np.float32))[:, :frames]
        logmel = np.pad(logmel, ((0, 0), (0, frames - logmel.shape[1]))).astype(np.float32)
        answer = self._model.model.generate(
            StorageView.from_array(np.ascontiguousarray(logmel[None])),
            [self._prompt],
            beam_size=self._beam,
            max_length=len(self._prompt) + _most_tokens(seconds),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        confidence = math.exp(answer.scores[0])
        text = " ".join(self._tokens.decode(answer.sequences_ids[0]).split())
        if answer.no_speech_prob > SILENT and confidence < DOUBTFUL:
            text = ""
        return Transcription(text, confidence)


class _Transformers:
    """A model of transformers with its feature extractor and its tokeniser, on the GPU where there is one."""

    def __init__(self, folder: str, model: Any, beam: int, language: str) -> None:
        from transformers import AutoFeatureExtractor, AutoTokenizer

        self._extractor = AutoFeatureExtractor.from_pretrained(folder, **LOCAL)
        self._tokens = AutoTokenizer.from_pretrained(folder, **LOCAL)
        if self._extractor.sampling_rate != SAMPLE_RATE:
            raise ValueError(f"{folder} takes audio at {self._extractor.sampling_rate} Hz; expected {SAMPLE_RATE} Hz")
        self._model = model.float().eval().to("cuda" if torch.cuda.is_available() else "cpu")
        self._beam, self._language, self._folder = beam, language, folder

    def _features(self, waveform: np.ndarray) -> dict[str, torch.Tensor]:
        least = math.ceil(SHORTEST * SAMPLE_RATE)
        waveform = np.pad(waveform, (0, max(0, least - len(waveform)))).astype(np.float32)
        inputs = self._extractor(waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return {name: value.to(self._model.device) for name, value in inputs.items()}


class _SequenceToSequence(_Transformers):
    """Writes word after word: Whisper and other encoder-decoders."""

    @torch.inference_mode()
    def transcribe(self, waveform: np.ndarray) -> Transcription:
        most = self._most(waveform)
        options: dict[str, int | str] = {"num_beams": self._beam, "do_sample": False, "max_new_tokens": most}
        configured = self._model.generation_config
        if hasattr(configured, "is_multilingual"):  # Whisper's
            _check_language(self._folder, self._language, configured.is_multilingual)
            if configured.is_multilingual:
                options |= {"language": self._language, "task": "transcribe"}
        options |= {"return_dict_in_generate": True, "output_scores": True}
        with quiet_transformers():
            output = self._model.generate(**self._features(waveform), **options)
        beams = getattr(output, "beam_indices", None)
        chances = self._model.compute_transition_scores(output.sequences, output.scores, beams, normalize_logits=True)
        text = str(self._tokens.decode(output.sequences[0], skip_special_tokens=True))
        return Transcription(" ".join(text.split()), _confidence(chances[0][torch.isfinite(chances[0])]))

    def _most(self, waveform: np.ndarray) -> int:
        """Longest answer, in tokens, that the speech may need and that the decoder has places for."""
        places = getattr(self._model.config, "max_target_positions", None) or 448
        return min(_most_tokens(len(waveform) / SAMPLE_RATE), places - 8)  # the prompt takes a few


class _Ctc(_Transformers):
    """Names a letter, or none, in every frame (connectionist temporal classification): wav2vec 2.0 and its like."""

    @torch.inference_mode()
    def transcribe(self, waveform: np.ndarray) -> Transcription:
        chances = self._model(**self._features(waveform)).logits[0].log_softmax(-1)  # (frames, letters)
        best, letters = chances.max(-1)
        named = best[letters != self._tokens.pad_token_id]
        said = letters.unique_consecutive()
        said = said[said != self._tokens.pad_token_id]  # two letters alike that it was between stay two
        text = str(self._tokens.decode(said, skip_special_tokens=True, group_tokens=False))
        return Transcription(" ".join(text.split()), _confidence(named if len(named) else best))


def _load_transformers(folder: str, beam: int, language: str) -> _Engine:
    """The model in `folder` with its weights. Raises ValueError where it is no recogniser, or not a whole one."""
    from transformers import AutoConfig, AutoModelForCTC, AutoModelForSpeechSeq2Seq
    from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES as CTC
    from transformers.models.auto.modeling_auto import MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES as SEQUENCE

    kind = AutoConfig.from_pretrained(folder, **LOCAL).model_type
    if kind not in SEQUENCE and kind not in CTC:
        raise ValueError(f"{folder} holds a model of type '{kind}', which recognises no speech")
    auto, recogniser = (AutoModelForSpeechSeq2Seq, _SequenceToSequence) if kind in SEQUENCE else (AutoModelForCTC, _Ctc)
    with quiet_transformers():  # absent weights are an error below
        model, report = auto.from_pretrained(folder, **LOCAL, output_loading_info=True)
    absent = sorted(name for name in report["missing_keys"] if not name.endswith(NEVER_SAVED))
    if absent:
        raise ValueError(
            f"{folder} lacks {len(absent)} weights, as {absent[0]}: was it fine-tuned to recognise speech?"
        )
    return recogniser(folder, model, beam, language)


def _check_language(folder: str, language: str, multilingual: bool) -> None:
    if language != LANGUAGE and not multilingual:
        raise ValueError(f"{folder} knows English only, not '{language}'; take a multilingual model, as small")


def _most_tokens(seconds: float) -> int:
    return TOKENS + math.ceil(TOKENS_PER_SECOND * seconds)


def _confidence(chances: torch.Tensor) -> float:
    """Geometric mean of probabilities that are given by their logarithms; 1 for none."""
    return max(UNLIKELY, float(chances.mean().exp())) if len(chances) else 1.0
