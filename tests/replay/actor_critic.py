import torch
from torch import nn
from torch.distributions import Categorical


class ActorCritic(nn.Module):
    def __init__(self, observations=4, actions=2):
        super().__init__()
        self.base = nn.Linear(observations, 16)
        self.actor = nn.Linear(16, actions)
        self.critic = nn.Linear(16, 1)

    def forward(self, x):
        h = torch.relu(self.base(x))
        return self.actor(h).softmax(-1), self.critic(h)


class Env:
    def reset(self):
        self.t = 0
        return torch.randn(4)

    def step(self, action):
        self.t += 1
        return torch.randn(4), 1.0, self.t >= 6, {}


def finish_episode(saved, rewards, actor_optimizer, critic_optimizer):
    returns = torch.tensor(rewards).flip(0).cumsum(0).flip(0)
    policy_loss, value_loss = [], []
    for (log_prob, value), ret in zip(saved, returns):
        policy_loss.append(-log_prob * (ret - value.item()))
        value_loss.append(nn.functional.smooth_l1_loss(value, ret.view(1)))
    actor_optimizer.zero_grad()
    critic_optimizer.zero_grad()
    torch.stack(policy_loss).sum().backward(retain_graph=True)  # hit
    torch.stack(value_loss).sum().backward()  # hit
    actor_optimizer.step()
    critic_optimizer.step()


def main():
    env = Env()
    model = ActorCritic()
    actor_optimizer = torch.optim.Adam([*model.base.parameters(), *model.actor.parameters()], lr=3e-2)
    critic_optimizer = torch.optim.Adam(model.critic.parameters(), lr=3e-2)
    running_reward = 10
    for i_episode in range(10000):
        state, ep_reward = env.reset(), 0
        saved, rewards = [], []
        for t in range(1, 10000):
            probs, value = model(state)
            m = Categorical(probs)
            action = m.sample()
            state, reward, done, _ = env.step(action.item())
            saved.append((m.log_prob(action), value))
            rewards.append(reward)
            ep_reward += reward
            if done:
                break
        running_reward = 0.05 * ep_reward + 0.95 * running_reward
        finish_episode(saved, rewards, actor_optimizer, critic_optimizer)
        if running_reward > 475:
            print("Solved!")
            break


if __name__ == "__main__":
    main()
