"""Knowledge distillation from a frozen teacher."""

import torch
import torch.nn.functional as F
from torch import nn


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x):
        return self.net(x)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 8)
        self.outer = nn.Linear(8, 4)

    def forward(self, x):
        h = F.relu(self.inner(x))
        return self.outer(h)


def distillation_loss(student_logits, teacher_logits, labels, temperature=3.0, share=0.5):
    soft = F.kl_div(
        F.log_softmax(student_logits / temperature, dim=-1),
        F.softmax(teacher_logits / temperature, dim=-1),
        reduction="batchmean",
    )
    hard = F.cross_entropy(student_logits, labels)
    return share * temperature**2 * soft + (1 - share) * hard


def train():
    torch.manual_seed(0)
    teacher, student = Teacher().eval(), Student()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    for _ in range(2):
        x, labels = torch.randn(8, 6), torch.randint(0, 4, (8,))
        with torch.no_grad():
            goal = teacher(x)
        answer = student(x)
        loss = distillation_loss(answer, goal, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    train()
