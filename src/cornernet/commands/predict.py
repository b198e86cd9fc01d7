"""``cornernet predict``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.commands import options
from cornernet.commands.common import ProgressBar, open_detector, parse_tile
from cornernet.errors import InputError

if TYPE_CHECKING:
    from cornernet.media.sources import Source
    from cornernet.outputs.choice import OutputKind


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
    heatmaps: bool = False,
) -> int:
    """Find objects in SOURCES: images, videos, folders, globs, text files of paths, http(s) addresses, camera:0,
    streams (rtsp:// and others), - (standard input).

    Args:
        out: Folder for everything that is written.
        save: What to write, joined by commas: pictures, video (annotated, NAME.webm), json (detections.json), coco
            (coco.json with images and scores), yolo (data.yaml, labels/NAME.txt), csv (detections.csv), crops (of every
            box, in folders by class), or boxes to correct in a labelling tool: cvat (annotations.xml), labelme
            (images/NAME.json), labelstudio (label_studio.json). Default: json, pictures of images and a video of
            videos.
        heatmaps: Also draw corner heatmaps and paired corners.
    """
    from cornernet.files import make_folder
    from cornernet.inference.stream import detect
    from cornernet.media.sources import find_sources, read_frames, total_frames
    from cornernet.outputs.choice import make_writers, parse_kinds
    from cornernet.outputs.writer import WriteBehind

    if batch_size < 1:
        raise InputError("give a number above 0", f"--batch-size {batch_size}")
    if heatmaps and tile:
        raise InputError("shows one view of the whole image", "--heatmaps", "leave --tile out, or use --max-size")
    kinds, (side, _) = parse_kinds(save), parse_tile(tile)
    found = find_sources(sources, lambda line: print(f"cornernet: {line}", file=sys.stderr))
    videos = [source.video for source in found if source.video]
    if save and "video" in kinds and not any(source.may_move for source in found):
        what = "there is no video, camera or animation among the sources"
        raise InputError(what, "--save video", "choose pictures")
    _keep_sources(found, kinds, Path(out))
    detector = open_detector(weights, device, tta, precision, max_size, tile)
    lowest = detector.threshold if threshold is None else threshold
    folder = make_folder(Path(out))
    writers = make_writers(kinds, folder, detector.class_names, lowest, all_frames=bool(save), heatmaps=heatmaps)
    frames, total = read_frames(found, depth=batch_size + 2), total_frames(found)
    results = detect(detector, frames, batch_size=batch_size, threshold=lowest, explain=heatmaps, side=side)
    bar = ProgressBar("predicting", "frame" if videos else "image")
    failures: list[str] = []
    images = boxes = 0
    with WriteBehind(writers) as written:
        try:
            for done, result in enumerate(results, start=1):
                if isinstance(result, InputError):
                    failures.append(str(result))
                else:
                    written.add(result)
                    images, boxes = images + 1, boxes + len(result.detections)
                bar(done, total)
        except KeyboardInterrupt:
            if not any(video.is_live for video in videos):  # Ctrl-C is the normal end of a camera
                raise
        finally:
            bar.close()
    for failure in failures:
        print(f"cornernet: {failure}", file=sys.stderr)
    print(f"{boxes} objects in {images} images, score {lowest:g} or more, by {weights}: {folder}")
    return 2 if failures else 0


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
