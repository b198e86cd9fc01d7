"""The data set of a training."""

from __future__ import annotations

from dataclasses import dataclass

from cornernet.data.dataset import CocoDataset
from cornernet.data.find import LabelFolder, find_data, load_split
from cornernet.data.formats import Format
from cornernet.data.remarks import training_remarks, validation_notes
from cornernet.data.strays import with_stray_notes


@dataclass
class DataSource:
    """A folder with a data set and the names of its splits; without ``val_split`` there is no validation.

    ``val_share`` is that of `load_split`; ``format`` that of `find_data`.
    """

    folder: str
    train_split: str = "train"
    val_split: str | None = "val"
    val_share: float | None = None
    format: Format | None = None

    def load(self, *, strict: bool = False) -> tuple[CocoDataset, CocoDataset | None]:
        """The training and the validation split, with the same classes; ``InputError`` if one cannot be used."""
        labels = find_data(self.folder, self.format)
        training = self._training(labels, strict)
        if self.val_split is None:
            return with_stray_notes(labels, [training])[0], None
        names = training.class_names
        validation = load_split(labels, self.val_split, val_share=self.val_share, strict=strict, class_names=names)
        validation.notes = tuple(validation_notes(training, validation))
        training, validation = with_stray_notes(labels, [training, validation])
        return training, validation

    def load_training(self) -> CocoDataset:
        """The training split alone; ``InputError`` if it lost many images or boxes."""
        training = self._training(find_data(self.folder, self.format), strict=False)
        training.refuse_losses()
        return training

    def _training(self, labels: LabelFolder, strict: bool) -> CocoDataset:
        training = load_split(labels, self.train_split, val_share=self.val_share, strict=strict)
        training.require_boxes()
        training.notes += tuple(training_remarks(training))
        return training
