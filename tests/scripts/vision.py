"""Pictures: classifiers, autoencoders, generators, a U-Net."""

import numpy as np

from scripts import numbers, start


def classifier(torch):
    """An MLP with a DataLoader, a validation split, accuracy and a step schedule."""
    nn = torch.nn
    F = torch.nn.functional
    data = torch.utils.data

    x = torch.from_numpy(numbers(0, 60, 8))
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).long() + (x[:, 3] > 1).long()
    everything = data.TensorDataset(x, y)
    train, held_out = data.random_split(everything, [48, 12])
    assert len(train) == 48
    assert sorted(train.indices + held_out.indices) == list(range(60))
    train = data.Subset(everything, list(range(48)))

    class Net(nn.Module):
        def __init__(self, inputs, hidden, classes):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)])
            self.head = nn.Linear(hidden, classes)

        def forward(self, x):
            for layer in self.layers:
                x = F.relu(layer(x))
            return self.head(x)

    device = torch.device("cuda" if torch.cuda.is_available() and False else "cpu")
    model = start(torch, Net(8, 16, 3)).to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    history = []
    for _ in range(3):
        model.train()
        running, right = 0.0, 0
        for inputs, labels in data.DataLoader(train, batch_size=16, shuffle=False):
            inputs, labels = inputs.to(device), labels.to(device)
            optimizer.zero_grad(set_to_none=True)
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running += loss.item() * inputs.size(0)
            _, predicted = torch.max(outputs.data, 1)
            right += (predicted == labels).sum().item()
        scheduler.step()
        history += [running / len(train), right / len(train), scheduler.get_last_lr()[0]]
    model.eval()
    with torch.no_grad():
        scores = model(x)
    per_class = [(scores.argmax(dim=-1)[y == c] == c).double().mean().item() for c in y.unique()]
    return history + per_class


def convolutional(torch):
    """Conv, BatchNorm, MaxPool and a head; running statistics used by eval()."""
    nn = torch.nn

    def block(inputs, outputs):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(block(1, 4), block(4, 8))
            self.pool = nn.AdaptiveAvgPool2d((1, 1))
            self.dropout = nn.Dropout(p=0.0)
            self.classifier = nn.Linear(8, 3)

        def forward(self, x):
            x = self.pool(self.features(x))
            return self.classifier(self.dropout(torch.flatten(x, 1)))

    model = start(torch, Net())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.tensor(numbers(1, 12, 1, 8, 8))
    y = torch.arange(12) % 3
    x[y == 0] += 1.0
    x[y == 1, :, :4] -= 1.0
    losses = []
    for _ in range(8):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    losses.append(model(x).detach().softmax(-1).max(dim=1).values.sum().item())
    losses += model.features[0][1].running_mean.tolist()
    losses += [float(b.sum()) for b in model.buffers()]
    losses.append(sum(p.numel() for p in model.parameters() if p.requires_grad))
    return losses


def variational(torch):
    """A VAE: reparametrisation with given noise, KL term, annealed beta."""
    nn, F = torch.nn, torch.nn.functional

    class VAE(nn.Module):
        def __init__(self, dim=10, latent=2):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(dim, 12), nn.Tanh())
            self.mu = nn.Linear(12, latent)
            self.logvar = nn.Linear(12, latent)
            self.decoder = nn.Sequential(nn.Linear(latent, 12), nn.GELU(), nn.Linear(12, dim))

        def reparameterize(self, mu, logvar, noise):
            std = torch.exp(0.5 * logvar)
            return mu + noise * std

        def forward(self, x, noise):
            h = self.encoder(x.view(-1, 10))
            mu, logvar = self.mu(h), self.logvar(h)
            z = self.reparameterize(mu, logvar, noise)
            return torch.sigmoid(self.decoder(z)), mu, logvar

    model = start(torch, VAE())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.99))
    x = torch.as_tensor(1 / (1 + np.exp(-numbers(2, 20, 2, 5))))
    losses = []
    for step in range(10):
        noise = torch.from_numpy(numbers([3, step], 20, 2))
        reconstruction, mu, logvar = model(x, noise)
        bce = F.binary_cross_entropy(reconstruction, x.view(-1, 10), reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss = (bce + min(1.0, step / 5) * kld) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.inference_mode():
        grid = torch.stack(
            torch.meshgrid(torch.linspace(-1, 1, 3), torch.linspace(-1, 1, 3), indexing="ij"),
            dim=-1,
        ).reshape(-1, 2)
        losses.append(torch.sigmoid(model.decoder(grid.to(x.dtype))).std().item())
    return losses


def adversarial(torch):
    """A DCGAN's two optimizers, detach, label targets, weights_init by apply()."""
    nn = torch.nn
    generator = nn.Sequential(
        nn.ConvTranspose2d(4, 8, 4, 1, 0, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(True),
        nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )

    def weights_init(m):
        name = m.__class__.__name__
        if name.find("Conv") != -1:
            nn.init.normal_(m.weight.data, 0.0, 0.02)
        elif name.find("BatchNorm") != -1:
            nn.init.normal_(m.weight.data, 1.0, 0.02)
            nn.init.constant_(m.bias.data, 0)

    generator.apply(weights_init)
    discriminator.apply(weights_init)
    assert generator[1].bias.abs().sum() == 0
    start(torch, generator, 1), start(torch, discriminator, 2)
    criterion = nn.BCELoss()
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    real = torch.tensor(numbers(4, 6, 1, 8, 8)).tanh()
    history = []
    for step in range(6):
        discriminator.zero_grad()
        label = torch.full((6,), 1.0, dtype=real.dtype, device=real.device)
        output = discriminator(real).view(-1)
        loss_real = criterion(output, label)
        loss_real.backward()
        fake = generator(torch.tensor(numbers([5, step], 6, 4, 1, 1)))
        label.fill_(0.0)
        loss_fake = criterion(discriminator(fake.detach()).view(-1), label)
        loss_fake.backward()
        opt_d.step()

        generator.zero_grad()
        label.fill_(1.0)
        output = discriminator(fake).view(-1)
        loss_g = criterion(output, label)
        loss_g.backward()
        opt_g.step()
        history += [(loss_real + loss_fake).item(), loss_g.item(), output.mean().item()]
    return history


def unet(torch):
    """Down and up with a skip connection; a Dice loss beside BCE with logits."""
    nn, F = torch.nn, torch.nn.functional

    class DoubleConv(nn.Module):
        def __init__(self, inputs, outputs, mid=None):
            super().__init__()
            mid = mid or outputs
            self.double_conv = nn.Sequential(
                nn.Conv2d(inputs, mid, 3, padding=1, padding_mode="reflect"),
                nn.GroupNorm(2, mid),
                nn.SiLU(),
                nn.Conv2d(mid, outputs, 3, padding="same"),
                nn.InstanceNorm2d(outputs, affine=True),
                nn.SiLU(),
            )

        def forward(self, x):
            return self.double_conv(x)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.inc = DoubleConv(2, 4)
            self.down = nn.Sequential(nn.AvgPool2d(2), DoubleConv(4, 8))
            self.reduce = nn.Conv2d(8, 4, 1)
            self.up = DoubleConv(8, 4)
            self.out = nn.Conv2d(4, 1, kernel_size=1)

        def forward(self, x):
            a = self.inc(x)
            b = F.interpolate(
                self.reduce(self.down(a)), scale_factor=2, mode="bilinear", align_corners=True
            )
            dy, dx = a.size(2) - b.size(2), a.size(3) - b.size(3)
            b = F.pad(b, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
            return self.out(self.up(torch.cat([a, b], dim=1)))

    def dice(logits, target, smooth=1.0):
        p = logits.sigmoid().flatten(1)
        t = target.flatten(1)
        return 1 - ((2 * (p * t).sum(1) + smooth) / (p.sum(1) + t.sum(1) + smooth)).mean()

    model = start(torch, UNet())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x = torch.tensor(numbers(6, 2, 2, 7, 9))
    target = (x.sum(1, keepdim=True) > 0).to(x.dtype)
    losses = []
    for _ in range(5):
        logits = model(x)
        weight = torch.tensor([2.0], dtype=x.dtype)
        loss = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight)
        loss = loss + dice(logits, target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), clip_value=0.5)
        optimizer.step()
        losses.append(loss.item())
    mask = torch.where(logits > 0, 1, 0)
    iou = (mask.bool() & target.bool()).sum() / (mask.bool() | target.bool()).sum()
    return losses + [iou.item()]


PROGRAMS = [classifier, convolutional, variational, adversarial, unet]
