"""``cornernet plot``: training logs, ours or OpenMMLab's, as a picture."""

from __future__ import annotations

from pathlib import Path

from cornernet.errors import InputError
from cornernet.report.logs import loss_parts, read_log, smooth


def plot(logs: list[str], *, out: str = "log.png") -> None:
    """Draw losses, learning rate and AP of one or more LOGS, log.jsonl of a run or OpenMMLab's .log.json.

    Args:
        logs: Log files, or run folders.
        out: Picture to write: .png, .svg or .pdf.
    """
    try:
        import matplotlib
    except ImportError:
        raise InputError("needs matplotlib", "plot", "pip install 'cornernet[report]' brings it") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from cornernet.files import make_folder

    if Path(out).suffix not in (".png", ".svg", ".pdf"):
        raise InputError("give a name that ends in .png, .svg or .pdf", f"--out {out}")
    series = [(name_of(Path(log)), *read_log(Path(log))) for log in logs]
    figure, ((losses, parts), (rates, figures)) = pyplot.subplots(
        2, 2, sharex=True, figsize=(11, 7), layout="constrained"
    )
    styles: dict[str, str] = {}  # of the parts of the loss, the same in all logs
    for number, (name, training, validation) in enumerate(series):
        color = f"C{number}"
        x = [entry["x"] for entry in training]
        losses.plot(x, smooth([entry.get("loss") for entry in training]), color=color, label=name)
        for part in loss_parts(training):
            label = None if part in styles else part
            style = styles.setdefault(part, ("-", "--", "-.", ":")[len(styles) % 4])
            parts.plot(x, smooth([entry.get(part) for entry in training]), style, color=color, label=label, lw=1.2)
        rates.plot(x, [entry.get("lr") for entry in training], color=color)
        for style, key in (("o-", "AP"), ("^--", "AP50"), ("v:", "AP75")):
            points = [(entry["x"], entry[key]) for entry in validation if entry.get(key) is not None]
            if points:
                figures.plot(*zip(*points, strict=True), style, color=color, ms=4, label=key if number == 0 else None)
    for axes, title in ((losses, "loss"), (parts, "its parts"), (rates, "learning rate")):
        drawn = [float(y) for line in axes.lines for y in line.get_ydata()]
        axes.set(title=title, yscale="log" if any(y > 0 for y in drawn) else "linear")
    figures.set(title="validation", xlabel="epoch", ylim=(0, 1))
    rates.set(xlabel="epoch")
    for axes, place in ((losses, "best"), (parts, "best"), (figures, "upper left")):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, loc=place)
    make_folder(Path(out).parent)
    figure.savefig(out, dpi=110)
    print(f"{sum(len(t) for _, t, _ in series)} training and {sum(len(v) for *_, v in series)} validation lines: {out}")


def name_of(path: Path) -> str:
    """A log's name in the picture: that of its folder if the file is log.jsonl."""
    return path.resolve().parent.name if path.name == "log.jsonl" else path.name.split(".")[0]
