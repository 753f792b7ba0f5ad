"""Ways to go down: quasi-Newton steps, averages of weights, steps that are learned through."""

from scripts import numbers, start


def growth_curve(torch):
    """A logistic curve fitted by L-BFGS with a strong Wolfe line search, then by Adam and a
    plateau, from a checkpoint."""
    days = torch.linspace(-3, 3, 40)
    noise = torch.tensor(numbers(1, 40)) * 0.05
    truth = 2.5 / (1 + torch.exp(-1.7 * (days - 0.4)))
    observed = truth + noise

    def curve(p):
        return p[0] / (1 + torch.exp(-p[1] * (days - p[2])))

    p = torch.nn.Parameter(torch.tensor([1.0, 1.0, 0.0]))
    optimizer = torch.optim.LBFGS([p], lr=1, max_iter=10, line_search_fn="strong_wolfe")
    history = []

    def closure():
        optimizer.zero_grad()
        loss = ((curve(p) - observed) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(4):
        history.append(optimizer.step(closure).item())
    history += p.tolist()

    q = torch.nn.Parameter(torch.tensor([1.0, 1.0, 0.0]))
    rough = torch.optim.Adamax([q], lr=0.2)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(rough, factor=0.5, patience=2)
    for epoch in range(60):
        rough.zero_grad()
        loss = ((curve(q) - observed) ** 2).mean()
        loss.backward()
        rough.step()
        plateau.step(loss.item())
        history += [loss.item(), rough.param_groups[0]["lr"]]
        if epoch == 30:
            saved = rough.state_dict(), plateau.state_dict()
            rough = torch.optim.Adamax([q], lr=0.9)
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(rough)
            rough.load_state_dict(saved[0])
            plateau.load_state_dict(saved[1])
    return history


def averaged_weights(torch):
    """One cycle for the learning rate, then SWA, with batch statistics computed anew; an EMA beside
    it, and hooks that watch the steps."""
    nn, optim = torch.nn, torch.optim
    model = start(torch, nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh()))
    model = nn.Sequential(*model, start(torch, nn.Linear(8, 3)))
    batches = [(torch.tensor(numbers([2, i], 12, 5)), torch.arange(12) % 3) for i in range(6)]
    epochs, swa_start = 9, 6
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    cycle = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.05, epochs=swa_start, steps_per_epoch=len(batches)
    )
    swa = optim.swa_utils.SWALR(optimizer, swa_lr=0.02, anneal_epochs=3)
    for group in optimizer.param_groups:
        group["lr"] = cycle.get_last_lr()[0]
    mean = optim.swa_utils.AveragedModel(model)
    moving = optim.swa_utils.AveragedModel(
        model, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True
    )
    steps = []
    optimizer.register_step_post_hook(lambda *_: steps.append(optimizer.param_groups[0]["lr"]))
    history = []
    for epoch in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            moving.update_parameters(model)
            if epoch < swa_start:
                cycle.step()
        if epoch >= swa_start:
            mean.update_parameters(model)
            swa.step()
        history += [loss.item(), optimizer.param_groups[0]["betas"][0]]
    optim.swa_utils.update_bn(batches, mean)
    for averaged in (mean, moving):
        averaged.eval()
        history += averaged(batches[0][0]).flatten().tolist()
    return history + steps


def learned_rates(torch):
    """MAML whose inner steps are an optimizer's: the start of the weights and the inner learning
    rate are learned through two of its steps."""
    nn, F = torch.nn, torch.nn.functional
    outer = [nn.Parameter(torch.tensor(numbers([3, i], *s) * 0.5)) for i, s in
             enumerate([(6, 1), (6,), (1, 6), (1,)])]  # fmt: skip
    rate = nn.Parameter(torch.tensor(0.05))
    meta = torch.optim.NAdam([*outer, rate], lr=0.01)
    warm = torch.optim.lr_scheduler.LinearLR(meta, 0.5, total_iters=3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(meta, T_max=8)
    schedule = torch.optim.lr_scheduler.SequentialLR(meta, [warm, decay], [4])

    def predict(w, x):
        return F.linear(torch.tanh(F.linear(x, w[0], w[1])), w[2], w[3])

    history = []
    for episode in range(10):
        meta.zero_grad()
        total = 0
        for task in range(3):
            x = torch.tensor(numbers([4, episode, task], 10, 1))
            y = torch.sin(x + task)
            fast = [p.clone() for p in outer]
            inner = torch.optim.SGD(fast, lr=rate, differentiable=True)
            for _ in range(2):
                copies = [w.clone() for w in fast]
                loss = F.mse_loss(predict(copies, x[:5]), y[:5])
                for w, g in zip(
                    fast, torch.autograd.grad(loss, copies, create_graph=True), strict=True
                ):
                    w.grad = g
                inner.step()
            total = total + F.mse_loss(predict(fast, x[5:]), y[5:])
        total.backward()
        meta.step()
        schedule.step()
        history += [total.item(), rate.item(), schedule.get_last_lr()[0]]
    return history


PROGRAMS = [growth_curve, averaged_weights, learned_rates]
