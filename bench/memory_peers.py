"""PyTorch's side of bench/memory_cost.cpp: the same equations, written as one writes them there."""
import math

LENGTH = 64  # tokens of a segment


class Memory:
    """What is timed of a memory: read(*self.reads), write(*self.writes), and the backward of both."""

    def prepare(self, torch, reads, writes, layers, others=()):
        """The arguments of both, and what is learned."""
        self.reads, self.writes = reads, writes
        self.parameters = list(others) + [p for layer in layers for p in layer.parameters()]
        with torch.no_grad():
            self.gradients = [torch.randn(y.shape) for y in self.outputs()]

    def outputs(self):
        return [self.read(*self.reads), *self.write(*self.writes)]

    def step(self, torch, name, check):
        """What is timed under this name, after a look that it computes what its equations say."""
        self.check(check)
        if name != "backward":
            function, arguments = (self.read, self.reads) if name == "read" else (self.write, self.writes)

            def forward():
                with torch.inference_mode():
                    return function(*arguments)

            return forward
        inputs = list({id(x): x.requires_grad_() for x in [*self.reads, *self.writes, *self.parameters]}.values())
        outputs = self.outputs()
        return lambda: torch.autograd.grad(outputs, inputs, self.gradients, retain_graph=True)


class DeltaMemory(Memory):
    """include/mat/memory/delta_memory.hpp: a whole segment is one chunk, which costs PyTorch least."""

    def __init__(self, torch, batch, additive=False):
        self.torch, self.functional, self.additive = torch, torch.nn.functional, additive
        linear, d, h = torch.nn.Linear, 128, 4
        self.heads = h
        self.query, self.key, self.value, self.output = (linear(d, d, bias=False) for _ in range(4))
        self.beta, self.gamma = linear(d, h), linear(d, h)
        torch.nn.init.constant_(self.gamma.bias, 8.1)
        self.read_gate = torch.nn.Parameter(torch.zeros(h, 1, 1))
        layers = self.query, self.key, self.value, self.output, self.beta, self.gamma
        x, rows, last = torch.randn(batch, LENGTH, d), torch.randn(batch, LENGTH, d), torch.randn(batch, d)
        state = torch.rand(batch, h, d // h, d // h + int(additive))
        self.prepare(torch, [state, x], [state, last, rows], layers, [self.read_gate])

    def split(self, rows):
        """[batch, length, features] as [batch, heads, length, features of a head]."""
        return rows.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def of_unit_length(self, rows):
        """What queries and keys are compared by."""
        if self.additive:
            return self.functional.elu(rows) + 1
        return self.functional.normalize(rows, dim=-1)

    def read(self, state, x):
        read = self.of_unit_length(self.split(self.query(x))) @ state
        if self.additive:
            read = read[..., :-1] / (read[..., -1:] + 1e-6)
        return self.output((self.read_gate.sigmoid() * read).transpose(1, 2).flatten(2))

    def written(self, last, h):
        """Keys, values, beta and the logarithm of gamma of every token."""
        shifted = self.torch.cat([last.unsqueeze(1), h[:, :-1]], 1)
        values = self.split(self.value(h))
        if self.additive:
            values = self.functional.pad(values, (0, 1), value=1.0)
        beta, gamma = (self.split(layer(h)) for layer in (self.beta, self.gamma))
        keys = self.of_unit_length(self.split(self.key(shifted)))
        return keys, values, beta.sigmoid(), self.functional.logsigmoid(gamma)

    def write(self, state, last, h):
        k, v, beta, log_gamma = self.written(last, h)
        kept = log_gamma.cumsum(2)
        if self.additive:
            u = beta * v
        else:
            decays = (kept - kept.transpose(2, 3)).tril().exp()
            system = (beta * decays * (k @ k.transpose(2, 3))).tril(-1)
            right = beta * (v - kept.exp() * (k @ state))
            u = self.torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
        total = kept[:, :, -1:]
        return [total.exp() * state + ((total - kept).exp() * k).transpose(2, 3) @ u, h[:, -1]]

    def write_token_by_token(self, state, last, h):
        k, v, beta, log_gamma = self.written(last, h)
        for t in range(h.size(1)):
            key = k[:, :, t:t + 1]
            state = log_gamma[:, :, t:t + 1].exp() * state
            error = v[:, :, t:t + 1] - (0 if self.additive else key @ state)
            state = state + key.transpose(2, 3) @ (beta[:, :, t:t + 1] * error)
        return state

    def check(self, check):
        """Chunks write what the tokens write one by one."""
        with self.torch.no_grad():
            check(self.write(*self.writes)[0], self.write_token_by_token(*self.writes))


class NeuralMemory(Memory):
    """include/mat/memory/neural_memory.hpp with its defaults: one gradient step a segment, which leaves biases alone.

    The inner gradient is written out, so that autograd goes through it as through anything else: second order.
    """

    def __init__(self, torch, batch):
        self.torch, self.functional = torch, torch.nn.functional
        linear, d = torch.nn.Linear, 64
        self.query, self.key, self.value, self.output = (linear(d, d, bias=False) for _ in range(4))
        self.write_rate, self.fc1, self.fc2 = linear(d, 1), linear(d, d), linear(d, d)
        self.momentum, self.forgetting = (torch.nn.Parameter(torch.tensor(math.log(p / (1 - p))))
                                          for p in (0.5 / 0.9, 0.02))
        layers = self.query, self.key, self.value, self.output, self.write_rate, self.fc1, self.fc2
        x, rows, last = torch.randn(batch, LENGTH, d), torch.randn(batch, LENGTH, d), torch.randn(batch, d)
        weights = [(w + 0.1 * torch.randn(batch, *w.shape)).detach() for w in self.start()]
        momentum = [0.1 * torch.randn(w.shape) for w in weights]
        self.prepare(torch, [*weights, x], [*weights, *momentum, last, rows], layers, [self.momentum, self.forgetting])

    def start(self):
        """The learned weights: W1, b1, W2, b2, biases as rows."""
        return self.fc1.weight, self.fc1.bias.unsqueeze(0), self.fc2.weight, self.fc2.bias.unsqueeze(0)

    def network(self, w1, b1, w2, b2, rows):
        """The hidden units and the output of every sequence's own network."""
        hidden = self.torch.baddbmm(b1, rows, w1.mT).relu()
        return hidden, self.torch.baddbmm(b2, hidden, w2.mT)

    def read(self, w1, b1, w2, b2, x):
        queries = self.functional.normalize(self.query(x), dim=-1)
        return self.output(self.network(w1, b1, w2, b2, queries)[1])

    def written(self, last, h):
        """Keys, values and rates of every token."""
        shifted = self.torch.cat([last.unsqueeze(1), h[:, :-1]], 1)
        return self.functional.normalize(self.key(shifted), dim=-1), self.value(h), self.write_rate(h).sigmoid()

    def surprise(self, w1, b1, w2, b2, keys, values, rates):
        """The gradient of the inner loss by W1 and W2, and the bound on its curvature."""
        hidden, y = self.network(w1, b1, w2, b2, keys)
        error = y - values
        weighted = rates * error
        delta = (weighted @ w2) * (hidden > 0)

        def norm(matrix):
            return self.torch.linalg.vector_norm(matrix, dim=(1, 2), keepdim=True)

        of_keys = norm(keys.mT @ (rates * keys))
        loss = (weighted * error).sum((1, 2), keepdim=True)
        curvature = norm(hidden.mT @ (rates * hidden)) + of_keys * norm(w2 @ w2.mT) + (loss * of_keys).sqrt()
        return delta.mT @ keys, weighted.mT @ hidden, curvature

    def take_step(self, weights, momentum, gradient, curvature):
        """The next weights and momentum; a gradient that is None is 0."""
        mu, forgotten = 0.9 * self.momentum.sigmoid(), self.forgetting.sigmoid()
        step = (1 - mu) / (1 + curvature / ((2 - forgotten) * (1 + mu) / (1 - mu)))
        momentum = [mu * s if g is None else mu * s - step * g for s, g in zip(momentum, gradient)]
        return [w.lerp(w0, forgotten) + s for w, w0, s in zip(weights, self.start(), momentum)] + momentum

    def write(self, w1, b1, w2, b2, s1, sb1, s2, sb2, last, h):
        g1, g2, curvature = self.surprise(w1, b1, w2, b2, *self.written(last, h))
        return self.take_step((w1, b1, w2, b2), (s1, sb1, s2, sb2), (g1, None, g2, None), curvature) + [h[:, -1]]

    def write_one_by_one(self, weights, momentum, last, h):
        """Sequence by sequence: the gradient from autograd, the norms from the rows' inner products."""
        torch, functional, results = self.torch, self.functional, []
        for b, (keys, values, rates) in enumerate(zip(*self.written(last, h))):
            w1, b1, w2, b2 = (w[b].detach().requires_grad_() for w in weights)
            hidden = functional.linear(keys, w1, b1).relu()
            squares = rates * (functional.linear(hidden, w2, b2) - values).square()
            g1, g2 = torch.autograd.grad(squares.sum() / 2, (w1, w2))
            of_hidden, of_keys = ((rates * rates.mT * (rows @ rows.mT).square()).sum().sqrt()
                                  for rows in (hidden, keys))
            curvature = of_hidden + of_keys * (w2.mT @ w2).norm() + (squares.sum() * of_keys).sqrt()
            results.append(self.take_step((w1, b1, w2, b2), [s[b] for s in momentum], (g1, None, g2, None), curvature))
        return [torch.stack(parts) for parts in zip(*results)] + [h[:, -1]]

    def check(self, check):
        """The written out gradient is that of the inner loss; a batch reads and writes what its sequences do."""
        written = self.write(*self.writes)
        one_by_one = self.write_one_by_one(self.writes[:4], self.writes[4:8], *self.writes[8:])
        for result, expected in zip(written, one_by_one):
            check(result.detach(), expected.detach())
        *weights, x = self.reads
        functional, result = self.functional, self.read(*self.reads)
        for b, (w1, b1, w2, b2) in enumerate(zip(*weights)):
            hidden = functional.linear(functional.normalize(self.query(x[b]), dim=-1), w1, b1).relu()
            check(result[b].detach(), self.output(functional.linear(hidden, w2, b2)).detach())


class MemoryTokens(Memory):
    """include/mat/memory/memory_tokens.hpp with its defaults: rows before and after a segment, and no gate."""

    def __init__(self, torch, batch):
        self.torch, self.count = torch, 4
        d = 128
        state, x = torch.randn(batch, self.count, d), torch.randn(batch, LENGTH, d)
        self.prepare(torch, [state, x], [torch.randn(batch, LENGTH + 2 * self.count, d)], [])

    def read(self, state, x):
        return self.torch.cat([state, x, state], 1)

    def write(self, h):
        return [h[:, -self.count:]]

    def check(self, check):
        """The rows are where they belong."""
        (state, x), (h,), count = self.reads, self.writes, self.count
        rows = self.read(state, x)
        for part, expected in ((rows[:, :count], state), (rows[:, count:-count], x), (rows[:, -count:], state),
                               (self.write(h)[0], h[:, LENGTH + count:])):
            check(part, expected)


def memory_peers(torch, check):
    """Functions that make what is timed, by their names."""
    memories = {
        "tokens_d128_m4": MemoryTokens,
        "delta_d128_h4": DeltaMemory,
        "additive_d128_h4": lambda torch, batch: DeltaMemory(torch, batch, additive=True),
        "neural_d64": NeuralMemory,
    }

    def make(memory, batch, step):
        torch.manual_seed(1)
        return memory(torch, batch).step(torch, step, check)

    return {f"memory_cost/{name}_T{LENGTH}_B{batch}_{step}/torch-python":
                lambda m=memory, b=batch, s=step: make(m, b, s)
            for name, memory in memories.items() for batch in (1, 16) for step in ("read", "write", "backward")}
