"""What was measured, as text: ratios first."""

from typing import Any


def extraction(numbers: dict[str, Any]) -> str:
    """Of the log-mels."""
    measured = numbers["extraction"]
    sizes = "; ".join(
        f"{one['hours']:.2f} h: {one['times_real_time']:,.0f} x, {one['peak_bytes'] / 1e6:,.0f} MB"
        for one in measured["sizes"]
    )
    return (
        f"\nLog-mels into an empty cache: {measured['times_real_time']:,.0f} times real time with {numbers['threads']} "
        f"threads, so 100 hours in {measured['hundred_hours_seconds'] / 60:.1f} minutes.\nSpeed and peak memory by "
        f"size: {sizes}: {measured['peak_growth']:.2f} times the memory for "
        f"{measured['sizes'][-1]['hours'] / measured['sizes'][0]['hours']:.0f} times the corpus."
    )


def size(width: int, measured: dict[str, Any]) -> str:
    """Of the models at one width."""
    rows = [
        f"\nWidth {width}, batch {measured['batch']}, {measured['mels']} mels, a frame every "
        f"{1000 * measured['hop_seconds']:g} ms, {measured['utterances']} utterances, turns: {measured['repeats']}",
        f"| {'':34} |" + "".join(f" {name:>18} |" for name in measured["models"]),
        "|---|" + "---:|" * len(measured["models"]),
    ]
    for part in ("training", "evaluation"):
        cells = {
            f"{part}, times the plain loop": lambda row: _ratio(row["ratio"]),
            f"{part}, share of the matmul peak": lambda row: f"{row['share_of_peak']:.0%}",
            f"{part}, maps at a copy's speed": lambda row: f"{row['share_of_copy']:.0%}",
            f"{part}, utterances/s": lambda row: f"{row['ours']:,.1f}",
            f"{part}, plain loop, utterances/s": lambda row: f"{row['plain']:,.1f}",
            f"{part}, times real time": lambda row: f"{3600 * row['audio_hours_per_second']:,.0f}",
        }
        rows += [_row(name, [text(row[part]) for row in measured["models"].values()]) for name, text in cells.items()]
    rows.append(_row("precision (the plain loop: float32)", [row["precision"] for row in measured["models"].values()]))
    rows.append(_row("peak memory, MB", [f"{row['peak_bytes'] / 1e6:,.0f}" for row in measured["models"].values()]))
    path = measured["data_path"]
    rows.append(
        "The two shares are what a step would take of the time measured if it were matrix products alone, and if its "
        "feature maps went through memory alone, as few times as there can be. No step is shorter than the longer one, "
        "unless maps stay in a cache."
    )
    if measured["mfcnn14_by_cnn14"]:
        rows.append(f"MFCNN14 trains at {_ratio(measured['mfcnn14_by_cnn14'])} of CNN14's speed, batch by batch.")
    rows.append(
        f"Data path alone: {path['times_training']:,.0f} times what training consumes, "
        f"{path['utterances_per_second']:,.0f} utterances/s, {path['bytes_per_second'] / 1e9:.1f} GB/s, "
        f"{path['share_of_copy']:.0%} of a copy.\nPadding: "
        f"{path['padding_share']:.1%} of a training epoch ({path['sample_padding_share']:.1%} of what was measured), "
        f"{path['evaluation_padding_share']:.1%} of an evaluation, {path['plain_padding_share']:.1%} in random batches."
    )
    return "\n".join(rows)


def mechanisms(width: int, measured: dict[str, Any]) -> str:
    """Of MFCNN14 at one width."""
    rows = [
        f"\nWidth {width}, batch {measured['batch']}, {measured['precision']}: MFCNN14's training by mechanism, as a "
        "share of CNN14's speed, batch by batch",
        "| mechanism | share |\n|---|---:|",
    ]
    return "\n".join([*rows, *(f"| {name} | {_ratio(of)} |" for name, of in measured["mechanisms_by_cnn14"].items())])


def machine(numbers: dict[str, Any], output: str) -> str:
    """What it was measured on."""
    limit = numbers["limits"]
    return (
        f"\n{numbers['device']}, {numbers['threads']} threads, torch {numbers['torch']}; matrix products: float32 "
        f"{limit['float32_flop_per_second'] / 1e9:,.0f}, bfloat16 {limit['bfloat16_flop_per_second'] / 1e9:,.0f} "
        f"GFLOP/s; copies: {limit['copy_bytes_per_second'] / 1e9:.1f} GB/s.\nMedians "
        f"(lowest-highest). Text encoder: {numbers['encoder']}. {numbers['seconds'] / 60:.1f} minutes. "
        f"Written to {output}"
    )


def _ratio(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['low']:.2f}-{spread['high']:.2f})"


def _row(name: str, cells: list[str]) -> str:
    return f"| {name:34} |" + "".join(f" {cell:>18} |" for cell in cells)
