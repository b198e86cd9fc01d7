"""The rules by which corners are paired."""

from cornernet.model.pairing.embedding import AssociativeEmbedding
from cornernet.model.pairing.size import PredictedSize

PAIRINGS = {"embedding": AssociativeEmbedding, "size": PredictedSize}
