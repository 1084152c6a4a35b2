import torch
from torch import nn


class LitGan(nn.Module):
    def __init__(self, latent=4):
        super().__init__()
        self.automatic_optimization = False
        self.latent = latent
        self.generator = nn.Linear(latent, 6)
        self.critic = nn.Linear(6, 1)

    def forward(self, z):
        return self.generator(z)

    def training_step(self, batch, batch_idx):
        opt_g, opt_c = self.optimizers()
        real = torch.randn(5, 6)
        z = torch.randn(5, self.latent)
        self.toggle_optimizer(opt_c)
        loss_c = self.critic(self(z).detach()).mean() - self.critic(real).mean()
        opt_c.zero_grad()
        self.manual_backward(loss_c)  # hit
        opt_c.step()
        self.untoggle_optimizer(opt_c)
        loss_g = -self.critic(self(z)).mean()
        opt_g.zero_grad()
        self.manual_backward(loss_g)  # hit
        opt_g.step()
        self.log_dict({"g": loss_g, "c": loss_c}, prog_bar=True)

    def configure_optimizers(self):
        opt_g = torch.optim.Adam(self.generator.parameters(), lr=1e-4)
        opt_c = torch.optim.Adam(self.critic.parameters(), lr=1e-4)
        return [opt_g, opt_c], []
