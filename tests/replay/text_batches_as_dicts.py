import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self, vocab_size=100, width=16, labels=4):
        super().__init__()
        self.embeddings = nn.Embedding(vocab_size, width)
        self.layer = nn.TransformerEncoderLayer(width, 2, 32, batch_first=True)
        self.classifier = nn.Linear(width, labels)

    def forward(self, input_ids, attention_mask=None, labels=None):
        hidden = self.layer(self.embeddings(input_ids))
        logits = self.classifier(hidden[:, 0])
        loss = nn.functional.cross_entropy(logits, labels) if labels is not None else None
        return loss, logits


def load_split(tokenizer, name):
    from no_such_datasets import load_dataset

    data = load_dataset("glue", name)
    return data.map(lambda row: tokenizer(row["text"], truncation=True), batched=True)


def main():
    tokenizer = None
    train_dataset = load_split(tokenizer, "sst2")
    loader = torch.utils.data.DataLoader(train_dataset, batch_size=32, shuffle=True)
    model = Encoder()
    no_decay = ["bias"]
    groups = [
        {"params": [p for n, p in model.named_parameters() if not any(nd in n for nd in no_decay)], "weight_decay": 0.01},
        {"params": [p for n, p in model.named_parameters() if any(nd in n for nd in no_decay)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=2e-5)
    total = len(loader) * 3
    model.train()
    for epoch in range(3):
        for step, batch in enumerate(loader):
            batch = {k: v.to("cpu") for k, v in batch.items()}
            labels = batch["labels"]
            loss, logits = model(batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels)
            loss.backward()  # hit
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            model.zero_grad()
            print(step, "of", total)


if __name__ == "__main__":
    main()
