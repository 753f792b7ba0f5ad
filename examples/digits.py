"""A network reads digits, trained by tg.train: stop it at any moment, start it again, it goes on.

Run it: python examples/digits.py [folder]
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import tapegrad as tg
from tapegrad import nn

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("folder", nargs="?", default="runs/digits", type=Path, help="of the run")
parser.add_argument("--tiny", action="store_true", help="two epochs, to see that it runs")
options = parser.parse_args()
FOLDER, EPOCHS, PATIENCE = options.folder, 2 if options.tiny else 40, 5

tg.manual_seed(0)
images, labels = tg.data.digits()
digits = tg.data.TensorDataset(images, labels)
training, validation, test = tg.data.random_split(digits, [1200, 297, 300])
batches = tg.data.DataLoader(training, 32, shuffle=True)

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),  # (N, 16, 8, 8)
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.MaxPool2d(2),  # (N, 16, 4, 4)
    nn.Flatten(),
    nn.Dropout(0.25),
    nn.Linear(256, 10),  # a score for each digit
)
optimizer = tg.optim.AdamW(model.parameters(), lr=0.003)

trainer = tg.train.Trainer(
    model,
    nn.CrossEntropyLoss(),
    optimizer,
    metrics={"accuracy": tg.metrics.Accuracy()},
    scheduler=tg.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS),
    clip_norm=1.0,
    monitor="val_accuracy",  # what is meant by best
    mode="max",
    checkpoints=tg.checkpoint.Checkpoints(FOLDER, keep_last=2),
    save_every=20,
    callbacks=[tg.train.EarlyStopping(PATIENCE), tg.train.CSVLog(FOLDER / "log.csv")],
)
history = trainer.fit(
    batches, epochs=EPOCHS, validation=tg.data.DataLoader(validation, 297), resume=True
)

if find_spec("matplotlib"):
    history.plot(FOLDER / "curve.png")
scores = trainer.evaluate(tg.data.DataLoader(test, 300))
print(f"{scores['accuracy']:.1%} of {len(test)} digits that played no part are read correctly")
