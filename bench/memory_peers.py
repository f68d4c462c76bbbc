"""PyTorch's side of bench/memory_cost.cpp: the same equations, written as one writes them there."""


class DeltaMemory:
    """include/mat/memory/delta_memory.hpp: a whole segment is one chunk, which costs PyTorch least."""

    def __init__(self, torch, batch, length, additive):
        torch.manual_seed(1)
        self.torch, self.functional, self.additive = torch, torch.nn.functional, additive
        self.features, self.heads = 128, 4
        linear, d, h = torch.nn.Linear, self.features, self.heads
        self.query, self.key, self.value, self.output = (linear(d, d, bias=False) for _ in range(4))
        self.beta, self.gamma = linear(d, h), linear(d, h)
        torch.nn.init.constant_(self.gamma.bias, 8.1)
        self.read_gate = torch.nn.Parameter(torch.zeros(h, 1, 1))
        self.parameters = [self.read_gate] + [p for layer in (self.query, self.key, self.value, self.output, self.beta,
                                                              self.gamma) for p in layer.parameters()]
        self.x = torch.randn(batch, length, d)
        self.last = torch.randn(batch, d)
        stored = d // h + int(additive)
        self.state = torch.rand(batch, h, d // h, stored)
        self.dread, self.dstate = torch.randn(batch, length, d), torch.randn(self.state.shape)

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
        return total.exp() * state + ((total - kept).exp() * k).transpose(2, 3) @ u

    def write_token_by_token(self, state, last, h):
        k, v, beta, log_gamma = self.written(last, h)
        for t in range(h.size(1)):
            key = k[:, :, t:t + 1]
            state = log_gamma[:, :, t:t + 1].exp() * state
            error = v[:, :, t:t + 1] - (0 if self.additive else key @ state)
            state = state + key.transpose(2, 3) @ (beta[:, :, t:t + 1] * error)
        return state

    def step(self, name, check):
        """What is timed under this name, after a look that chunks write what the tokens write one by one."""
        torch = self.torch
        with torch.no_grad():
            check(self.write(self.state, self.last, self.x), self.write_token_by_token(self.state, self.last, self.x))
        if name != "backward":
            arguments = (self.state, self.x) if name == "read" else (self.state, self.last, self.x)

            def forward():
                with torch.inference_mode():
                    return getattr(self, name)(*arguments)

            return forward
        inputs = [tensor.requires_grad_() for tensor in (self.state, self.last, self.x)] + self.parameters
        outputs = [self.read(self.state, self.x), self.write(self.state, self.last, self.x)]
        return lambda: torch.autograd.grad(outputs, inputs, [self.dread, self.dstate], retain_graph=True)


def memory_peers(torch, check):
    """Functions that make what is timed, by their names."""
    peers = {}
    for batch in (1, 16):
        for step in ("read", "write", "backward"):
            for name, additive in (("delta", False), ("additive", True)):
                peers[f"memory_cost/{name}_d128_h4_T64_B{batch}_{step}/torch-python"] = (
                    lambda b=batch, s=step, a=additive: DeltaMemory(torch, b, 64, a).step(s, check))
    return peers
