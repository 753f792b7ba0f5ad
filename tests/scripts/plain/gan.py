"""A GAN on 8x8 digits, with the habits of older scripts."""

import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.utils.data
from torch.nn.modules.utils import _pair

parser = argparse.ArgumentParser()
parser.add_argument("data", help="the digits, an .npz file")
parser.add_argument("--n_epochs", type=int, default=2, help="number of epochs of training")
parser.add_argument("--batch_size", type=int, default=50, help="size of the batches")
parser.add_argument("--lr", type=float, default=0.005, help="adam: learning rate")
parser.add_argument("--b1", type=float, default=0.5, help="adam: decay of the first moment")
parser.add_argument("--b2", type=float, default=0.999, help="adam: decay of the second moment")
parser.add_argument("--latent_dim", type=int, default=10, help="dimensionality of the latents")
parser.add_argument("--img_size", type=int, default=8, help="size of each image dimension")
parser.add_argument("--double", action="store_true", help="compute in float64")
opt = parser.parse_args()

img_shape = (1, *_pair(opt.img_size))
cuda = torch.cuda.is_available()
if opt.double:
    torch.set_default_tensor_type("torch.cuda.DoubleTensor" if cuda else "torch.DoubleTensor")
Tensor = torch.Tensor if opt.double else torch.cuda.FloatTensor if cuda else torch.FloatTensor
torch.manual_seed(0)


class Generator(nn.Module):
    def __init__(self):
        super(Generator, self).__init__()

        def block(in_feat, out_feat, normalize=True):
            layers = [nn.Linear(in_feat, out_feat)]
            if normalize:
                layers.append(nn.BatchNorm1d(out_feat, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(
            *block(opt.latent_dim, 16, normalize=False),
            *block(16, 32),
            nn.Linear(32, int(np.prod(img_shape))),
            nn.Tanh(),
        )

    def forward(self, z):
        img = self.model(z)
        return img.view(img.size(0), *img_shape)


class Discriminator(nn.Module):
    def __init__(self):
        super(Discriminator, self).__init__()
        self.conv = nn.Conv2d(1, 4, 3, 2, 1)
        self.model = nn.Sequential(
            nn.LeakyReLU(0.2, inplace=True), nn.Linear(64, 16), nn.ReLU(True), nn.Linear(16, 1)
        )

    def forward(self, img):
        features = self.conv(img)
        return torch.sigmoid(self.model(features.view(features.size(0), -1)))


def weights_init(m):
    classname = m.__class__.__name__
    rng = np.random.RandomState(7)
    if classname.find("Conv") != -1 or classname.find("Linear") != -1:
        m.weight.data = m.weight.new(rng.normal(0.0, 0.15, tuple(m.weight.shape)))
        m.bias.data.fill_(0)
    elif classname.find("BatchNorm") != -1:
        m.weight.data.fill_(1)


adversarial_loss = nn.BCELoss(size_average=True)
generator, discriminator = Generator(), Discriminator()
generator.apply(weights_init)
discriminator.apply(weights_init)
if cuda:
    generator.cuda()
    discriminator.cuda()
    adversarial_loss.cuda()

with np.load(opt.data) as digits:
    images = Tensor(digits["images"][:500].astype("float64") / 8 - 1).unsqueeze(1)
    labels = torch.from_numpy(digits["labels"][:500]).type(torch.LongTensor)
dataset = torch.utils.data.TensorDataset(images, labels)
dataloader = torch.utils.data.DataLoader(dataset, batch_size=opt.batch_size, shuffle=False)

optimizer_G = torch.optim.Adam(generator.parameters(), lr=opt.lr, betas=(opt.b1, opt.b2))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=opt.lr, betas=(opt.b1, opt.b2))
rng = np.random.RandomState(0)

for epoch in range(opt.n_epochs):
    for i, (imgs, _) in enumerate(dataloader):
        valid = Tensor(imgs.size(0), 1).fill_(1.0)
        fake = Tensor(imgs.size(0), 1).fill_(0.0)
        real_imgs = imgs.type(Tensor)

        optimizer_G.zero_grad()
        z = Tensor(rng.normal(0, 1, (imgs.shape[0], opt.latent_dim)))
        gen_imgs = generator(z)
        g_loss = adversarial_loss(discriminator(gen_imgs), valid)
        g_loss.backward()
        optimizer_G.step()

        optimizer_D.zero_grad()
        real_loss = adversarial_loss(discriminator(real_imgs), valid)
        fake_loss = adversarial_loss(discriminator(gen_imgs.detach()), fake)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        optimizer_D.step()

        print(
            "[Epoch %d/%d] [Batch %d/%d] [D loss: %f] [G loss: %f]"
            % (epoch, opt.n_epochs, i, len(dataloader), d_loss.item(), g_loss.item())
        )

generator.eval()
sample = generator(Tensor(np.ones((2, opt.latent_dim)))).data.cpu()
assert isinstance(sample, torch.DoubleTensor if opt.double else torch.FloatTensor)
print("sample", *("%.5f" % v for v in sample.view(-1)[:8].tolist()))
print("mean %.6f" % sample.mean(), sample.type())
