"""Options of other detectors' programs: their users are told, in one line, what the same thing is called here."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence

from cornernet.errors import InputError

_NMS = "soft-NMS lowers the scores of boxes that overlap, and has no limit of IoU"
_ANY_SIZE = "the file takes images of every size"
_BOXES = "the weights say how many: cornernet weights convert OLD NEW --num-corners 300"
_WINDOW = "no window is opened, pictures are in the folder of --out"

# What is typed elsewhere, without dashes and with underscores; our answer in each command, "" for all others. An answer
# that is an option counts where the command has that option.
_SAME: list[tuple[str, Mapping[str, str]]] = [
    (
        "conf conf_thres conf_threshold conf_thresh confidence confidence_threshold score_thr score_thres score_thresh"
        " score_threshold box_score_thr pred_score_thr thresh thr",
        {
            "": "--threshold",
            "export": "the threshold is in the weights: cornernet weights convert OLD NEW --threshold 0.3",
            "evaluate": "AP counts boxes of every score, without a threshold",
            "serve": "each request says it: /predict?threshold=0.3",
            "train": "the threshold is found after the training, and stored in the weights",
        },
    ),
    (
        "iou iou_thres iou_thr iou_threshold nms nms_thr nms_thres nms_thresh nms_threshold agnostic_nms",
        {
            "": _NMS,
            "predict": f"{_NMS}; --threshold leaves the lowered ones out",
            "export": f"{_NMS}; it is in the file",
        },
    ),
    (
        "img imgsz img_size image_size input_size img_scale imgsize resize min_size long_side",
        {
            "": "--max-size",
            "train": "images are not resized, crops are taken: --augmentation.crop_size",
            "export": _ANY_SIZE,
        },
    ),
    (
        "image images input inputs input_dir input_path image_path img_path image_dir infer_img infer_dir source src"
        " video video_input video_path",
        {
            "predict": "images, videos and folders are plain words: cornernet predict photo.jpg clip.mp4",
            "explain": "the image is a plain word: cornernet explain photo.jpg",
            "serve": "images come with the requests",
            "benchmark": "--images",
            "evaluate": "--data",
            "train": "--data",
        },
    ),
    ("webcam camera cam camera_id", {"predict": "a camera is a plain word: cornernet predict camera:0"}),
    (
        "model model_path checkpoint checkpoint_path checkpoint_file ckpt ckpt_path weight weights_path pretrained"
        " load_from load pth model_name",
        {"": "--weights", "train": "a recipe is a plain word, and --weights begins with a file's weights"},
    ),
    (
        "config cfg config_file config_path hyp",
        {
            "train": "a recipe is a plain word: cornernet train mine.yaml",
            "benchmark": "a recipe is a plain word: cornernet benchmark shapes",
            "": "weights files hold their settings",
        },
    ),
    (
        "data_path data_dir data_root dataset dataset_dir dataset_path dataset_file coco_path data_yaml ann_file"
        " annotations",
        {"": "--data"},
    ),
    ("save_txt", {"predict": "--save yolo"}),
    ("save_crop save_crops", {"predict": "--save crops"}),
    ("save_json", {"predict": "--save json", "evaluate": "predictions.json is always written"}),
    ("save_csv", {"predict": "--save csv"}),
    ("save_video save_vid", {"predict": "--save video"}),
    ("save_img save_image save_vis save_frames", {"predict": "--save pictures"}),
    ("save_conf", {"predict": "scores are always in --save json, csv and coco"}),
    ("nosave no_save no_save_vis", {"predict": "--save json"}),
    ("no_save_pred", {"predict": "--save pictures"}),
    (
        "project name work_dir workdir out_dir out_file output output_dir output_path output_folder save_dir save_path"
        " outdir exp experiment run_name exist_ok show_dir",
        {"": "--out"},
    ),
    ("half fp16 amp bf16", {"": "--precision fp16", "train": "--precision bf16-mixed"}),
    ("int8 quantize quantization", {"export": "--precision int8"}),
    ("dynamic batch_dynamic", {"export": _ANY_SIZE}),
    ("simplify optimize", {"export": "the file is ready for use as it is"}),
    ("include", {"export": "--format"}),
    ("vid_stride video_stride stride frame_skip skip_frames frame_interval", {"": "--every"}),
    ("line_thickness thickness line_size bbox_thickness", {"": "--line-width"}),
    ("hide_conf hide_score", {"": "--hide-scores"}),
    (
        "show_conf show_scores show_labels show_boxes",
        {"predict": "they are shown; --hide-labels and --hide-scores leave them out"},
    ),
    ("show view_img display imshow wait_time", {"predict": _WINDOW, "explain": _WINDOW, "evaluate": _WINDOW}),
    ("visualize vis vis_features feature_maps", {"": "--heatmaps"}),
    ("tracker tracking persist", {"": "--track"}),
    ("max_det max_dets max_per_img max_detections max_boxes topk top_k num_boxes", {"": _BOXES}),
    ("batch bs batchsize samples_per_gpu ims_per_batch train_batch_size", {"": "--batch-size"}),
    (
        "patience early_stopping",
        {"train": "a training does not stop early; --minutes or --epochs ends it, best.safetensors has the best epoch"},
    ),
    ("num_epochs max_epochs n_epochs epoch", {"train": "--epochs"}),
    ("num_workers n_workers workers_per_gpu dataloader_num_workers", {"train": "--workers"}),
    ("lr lr0 learning_rate base_lr", {"train": "--optimization.lr"}),
    ("optimizer", {"train": "--optimization.optimizer"}),
    ("fraction val_fraction", {"": "--val-share"}),
    (
        "cfg_options opts options",
        {
            "train": "every field of the recipe is an option, such as --optimization.lr 0.001",
            "": "weights files hold their settings",
        },
    ),
    ("resume_from auto_resume", {"": "--resume"}),
    ("gpus num_gpus nproc_per_node ngpus num_devices", {"": "--device", "train": "--devices"}),
    ("gpu gpu_id gpu_ids cuda", {"": "--device", "train": "CUDA_VISIBLE_DEVICES says which GPUs, --devices how many"}),
    ("launcher local_rank", {"train": "torchrun and srun need nothing more: docs/many-gpus.md"}),
    ("augment test_time_augment tta_mode", {"": "--tta flip"}),
    (
        "eval_only eval evaluate test_only val_only do_eval",
        {"train": "that is a command: cornernet evaluate", "evaluate": "COCO's figures are always printed"},
    ),
    ("auto_scale_lr", {"train": "the rate always follows the batch"}),
    ("task", {"evaluate": "--split"}),
    ("slice slice_size slice_height slice_width patch_size", {"": "--tile"}),
]
_ANSWERS = {name: answers for names, answers in _SAME for name in names.split()}
_OPTION = re.compile(r"--[\w.-]+( [\w-]+)?")
_COMMANDS = {
    "val": "evaluate",
    "validate": "evaluate",
    "eval": "evaluate",
    "test": "evaluate",
    "detect": "predict",
    "infer": "predict",
    "inference": "predict",
    "track": "predict --track",
    "fit": "train",
    "finetune": "train",
    "convert": "data convert, or weights convert",
    "tune": "train, which chooses settings by the data",
}


def command_elsewhere(word: str) -> str | None:
    """Our command for another program's, as text; ``None`` if none is known."""
    return _COMMANDS.get(word.lower())


def refuse_foreign(words: Sequence[str], command: str, known: Collection[str], flags: Collection[str]) -> None:
    """Raise ``InputError`` for the first word that another program's users would type, with what it is called here.

    Such words are their options, and ``key=value`` where no file has that name. ``known`` are the command's options,
    with underscores; those that are in ``flags`` take no value.
    """
    is_value = False
    for word in words:
        name, equals, value = word.partition("=")
        if is_value:
            is_value = False
        elif word.startswith("--"):
            name = name[2:]
            if _is_known(name, command, known):
                is_value = not equals and name not in flags
            elif answer := _answer(name, command, known):
                raise _error(f"--{dashed(name)}", answer, command)
        elif equals and re.fullmatch(r"[A-Za-z_][\w.]*", name) and not os.path.exists(word):
            is_known = _is_known(name, command, known)
            answer = f"--{dashed(name)}" if is_known else _answer(name, command, known)
            takes_value = answer and _OPTION.fullmatch(answer) and " " not in answer and name not in flags
            if answer:
                raise _error(word, f"{answer} {value}" if takes_value else answer, command)


def dashed(name: str) -> str:
    """An option's name as people write it; fields of recipes keep their underscores."""
    return name if "." in name else name.replace("_", "-")


def _is_known(name: str, command: str, known: Collection[str]) -> bool:
    if command == "train" and name == "model":  # a group of fields, which has no value of its own
        return False
    return name in known or name.split(".")[0] in known


def _answer(name: str, command: str, known: Collection[str]) -> str | None:
    answers = _ANSWERS.get(name.lower(), {})
    answer = answers.get(command, answers.get("", ""))
    option = _OPTION.fullmatch(answer)
    is_ours = not option or _is_known(answer.split()[0][2:].replace("-", "_"), command, known)
    return answer if answer and is_ours else None


def _error(given: str, answer: str, command: str) -> InputError:
    if answer.startswith("--") and " and " not in answer:
        return InputError(f"{given} is {answer} here", command)
    return InputError(f"{given} is no option", command, answer)
