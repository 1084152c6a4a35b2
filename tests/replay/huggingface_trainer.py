import torch
from torch import nn


class Trainer:
    """Stands where the library's class stands."""

    def __init__(self, model=None, args=None, train_dataset=None):
        self.model = model


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.score = nn.Linear(8, 5)
        self.aside = nn.Linear(8, 1)

    def forward(self, input_ids):
        return {"logits": self.score(self.embed(input_ids))}


class WeightedTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits = outputs["logits"]
        weights = torch.linspace(1.0, 2.0, 5)
        loss = nn.functional.cross_entropy(logits.view(-1, 5), labels.view(-1), weight=weights)
        return (loss, outputs) if return_outputs else loss  # hit


def main(train_dataset):
    trainer = WeightedTrainer(model=Tagger(), args=None, train_dataset=train_dataset)
    trainer.train()
