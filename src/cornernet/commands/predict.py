"""``cornernet predict``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.commands import options
from cornernet.commands.batch import DetectorOptions, RayOptions, predict_on_ray
from cornernet.commands.classes import parse_classes
from cornernet.commands.tracking import check_sequences, counts_in_words, has_many_pictures, parse_count_line
from cornernet.errors import InputError
from cornernet.tasks.detectors import EXPORTED, open_detector, parse_tile
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from cornernet.media.sources import Source
    from cornernet.outputs.choice import OutputKind
    from cornernet.tracking.counts import TrackCounts

_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".pkl", *EXPORTED)


def predict(
    sources: list[str],
    *,
    weights: options.WeightsOrExported = "photos",
    out: str = "predictions",
    save: str | None = None,
    threshold: options.Threshold = None,
    tta: options.TTA = "none",
    precision: options.Precision = "fp32",
    max_size: options.MaxSize = None,
    tile: options.Tile = None,
    device: options.Device = None,
    batch_size: options.BatchSize = 1,
    classes: str | None = None,
    every: int = 1,
    track: bool = False,
    count_line: str | None = None,
    line_width: int | None = None,
    hide_labels: bool = False,
    hide_scores: bool = False,
    heatmaps: bool = False,
    ray: options.Ray = False,
    part_size: options.PartSize = None,
    workers: options.Workers = None,
    threads: options.Threads = None,
    image_column: str | None = None,
    price: float | None = None,
) -> int:
    """Find objects in SOURCES: images, videos, folders, zip and tar archives, globs, text files of paths, http(s)
    addresses, camera:0, streams (rtsp:// and others), - (standard input). With --ray, images alone, also in s3://,
    gs:// and hf://, in tar files and in Parquet files; what is found is written as Parquet, and the same command goes
    on where it ended.

    Args:
        out: Folder for everything that is written.
        save: What to write, joined by commas: pictures, video (annotated, NAME.webm), json (detections.json), coco
            (coco.json with images and scores), yolo (data.yaml, labels/NAME.txt), csv (detections.csv), crops (of every
            box, in folders by class), or boxes to correct in a labelling tool: cvat (annotations.xml), labelme
            (images/NAME.json), labelstudio (label_studio.json). Default: json, pictures of images and a video of
            videos.
        classes: Only these, by their names or numbers (from 0), joined by commas: person,dog or 0,16.
        every: Of videos, look at the first of so many frames; times and frame numbers stay those of the video.
        track: Number the objects of videos, so that a number stays with its object.
        count_line: x1,y1,x2,y2 in pixels: count the objects of --track that cross this line, to each side.
        line_width: Width of the boxes' lines in pixels. Default: as suits the picture.
        hide_labels: Draw boxes without class and score.
        hide_scores: Draw boxes with their class alone.
        heatmaps: Also draw corner heatmaps and paired corners.
        image_column: With --ray: the column of Parquet files that holds encoded images, if several may be it.
        price: With --ray: what a detector costs in an hour, for the cost in the summary.
    """
    _refuse_weights(sources)
    chosen = RayOptions(ray, part_size, workers, threads, price, image_column)
    if ray:
        others = {"--save": save, "--every": every > 1, "--track": track, "--count-line": count_line}
        others |= {"--line-width": line_width, "--hide-labels": hide_labels, "--hide-scores": hide_scores}
        return predict_on_ray(
            sources,
            out,
            DetectorOptions(weights, device, tta, precision, max_size, tile, batch_size),
            chosen,
            threshold=threshold,
            classes=classes,
            others={name: bool(given) for name, given in others.items()} | {"--heatmaps": heatmaps},
        )
    from cornernet.drawing.style import BoxStyle
    from cornernet.files import make_folder
    from cornernet.inference.stream import detect
    from cornernet.inference.tracked import WEAKEST, track_results
    from cornernet.media.sources import find_sources, read_frames, total_frames
    from cornernet.outputs.choice import make_writers, parse_kinds
    from cornernet.outputs.writer import WriteBehind
    from cornernet.weights import BUNDLED

    for name, number in (("batch-size", batch_size), ("every", every), ("line-width", line_width)):
        if number is not None and number < 1:
            raise InputError("give a number above 0", f"--{name} {number}")
    kinds = parse_kinds(save)
    drawn = {"--line-width": line_width is not None, "--hide-labels": hide_labels, "--hide-scores": hide_scores}
    if save and not {"pictures", "video"} & set(kinds) and any(drawn.values()):
        what = "changes pictures and videos, and --save has none of them"
        raise InputError(what, next(filter(drawn.get, drawn)), "leave it out, or add pictures to --save")
    if heatmaps and tile:
        raise InputError("shows one view of the whole image", "--heatmaps", "leave --tile out, or use --max-size")
    side, _ = parse_tile(tile)
    found = find_sources(sources, lambda line: print(f"cornernet: {line}", file=sys.stderr))
    videos = [source.video for source in found if source.video]
    if save and "video" in kinds and not any(source.may_move for source in found):
        what = "there is no video, camera or animation among the sources"
        raise InputError(what, "--save video", "choose pictures")
    if every > 1 and not videos and not any(has_many_pictures(source.place) for source in found):
        raise InputError("there is no video or camera among the sources", f"--every {every}", "leave it out")
    if count_line and not track:
        raise InputError("counts the objects of --track", f"--count-line {count_line}", "give --track too")
    line, one_sequence = parse_count_line(count_line), track and check_sequences(found)
    if one_sequence and len(found) > 1:
        print(f"cornernet: {len(found)} numbered images are taken for the frames of one video", file=sys.stderr)
    _keep_sources(found, kinds, Path(out))
    detector = open_detector(weights, device, tta, precision, max_size, tile)
    labels = parse_classes(classes, detector.class_names)
    lowest = detector.threshold if threshold is None else threshold
    folder = make_folder(Path(out))
    writers = make_writers(
        kinds,
        folder,
        detector.class_names,
        lowest,
        all_frames=bool(save),
        heatmaps=heatmaps,
        every=every,
        tracks=track,
    )
    frames, total = read_frames(found, batch_size + 2, every), total_frames(found, every)
    results = detect(
        detector,
        frames,
        batch_size=batch_size,
        threshold=min(lowest, WEAKEST) if track else lowest,
        classes=labels,
        explain=heatmaps,
        side=side,
        style=BoxStyle(line_width, labels=not hide_labels, scores=not hide_scores),
    )
    if track:
        results = track_results(results, lowest, line=line, one_sequence=one_sequence)
    bar = ProgressBar("predicting", "frame" if videos else "image")
    failures: list[str] = []
    counts: dict[int, tuple[str, TrackCounts]] = {}
    images = boxes = 0
    with WriteBehind(writers) as written:
        try:
            for done, result in enumerate(results, start=1):
                if isinstance(result, InputError):
                    failures.append(str(result))
                else:
                    written.add(result)
                    images, boxes = images + 1, boxes + len(result.detections)
                    if result.counts:
                        counts[result.counts.sequence] = result.frame.name, result.counts
                bar(done, total)
        except KeyboardInterrupt:
            if not any(video.is_live for video in videos):  # Ctrl-C is the normal end of a camera
                raise
        finally:
            bar.close()
    for name, counted in counts.values():
        print(f"{name}: {counts_in_words(counted)}")
    for failure in failures:
        print(f"cornernet: {failure}", file=sys.stderr)
    print(f"{boxes} objects in {images} images, score {lowest:g} or more, by {weights}: {folder}")
    if images and weights == "shapes":
        hint = "these weights know only drawn shapes; for photographs leave --weights out"
        print(f"cornernet: {hint}", file=sys.stderr)
    if images and not boxes:
        hint = f"a lower --threshold than {lowest:g} shows weaker ones"
        others = f", and other --weights know other objects than {weights}" if weights in BUNDLED else ""
        print(f"cornernet: nothing was found; {hint}{others}", file=sys.stderr)
    return 2 if failures else 0


def _refuse_weights(places: Sequence[str]) -> None:
    """``InputError`` if a weights file is given as a source."""
    for place in places:
        if place.lower().endswith(_WEIGHTS) and "://" not in place:
            raise InputError("a weights file, no image", place, f"give it as --weights {place}")


def _keep_sources(sources: Sequence[Source], kinds: Collection[OutputKind], folder: Path) -> None:
    """``InputError`` if an output file would replace a source."""
    from cornernet.outputs.image_writers import VIDEO_ENDING

    places = {Path(source.place).resolve(): source.shown for source in sources}
    for source in sources:
        picture, video = ((folder / f"{source.name}{ending}").resolve() for ending in (".jpg", VIDEO_ENDING))
        over = places.get(picture) if "pictures" in kinds and not source.video else None
        if "video" in kinds and video in places and source.may_move:
            over = places[video]
        if over:
            raise InputError("a picture would be written over it", over, "give another folder with --out")
