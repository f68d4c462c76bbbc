"""The translators that bench/translation_peers.py measures beside mat: PyTorch's nn.Transformer and CTranslate2."""
import base64
import json
import math
import pathlib
import struct
import sys
import time

LAYERS, DIM, HIDDEN, HEADS = 4, 128, 256, 4
BATCH_TOKENS, DROPOUT, SMOOTHING, LEARNING_RATE, AVERAGE_DECAY = 2500, 0.1, 0.1, 0.003, 0.998
RISING_STEPS = 400
WARM_STEPS = 5
LONGEST = 256  # positions, and tokens of a translation
PEER_BATCH = 50  # sentences that PyTorch translates together


class MatFile:
    """A translator that mat-translate wrote: tensors by PyTorch's names, settings, and the SentencePiece model."""

    def __init__(self, path):
        import numpy
        import sentencepiece

        self.data = data = pathlib.Path(path).read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])
        metadata = header.pop("__metadata__")
        self.settings = json.loads(metadata["model"])
        expected = {"kind": "vanilla", "share_embeddings": True, "tie_output": True, "activation": "relu",
                    "norm_first": True, "gated": False, "num_encoder_layers": LAYERS, "num_decoder_layers": LAYERS,
                    "d_model": DIM, "dim_feedforward": HIDDEN, "nhead": HEADS}
        for name, value in expected.items():
            if self.settings[name] != value:
                sys.exit(f"{path}: {name} is {self.settings[name]}, expected {value}")
        self.tensors, self.places = {}, {}
        for name, entry in header.items():
            begin, end = self.places[name] = [8 + size + offset for offset in entry["data_offsets"]]
            self.tensors[name] = numpy.frombuffer(data[begin:end], numpy.float32).reshape(entry["shape"]).copy()
        self.pieces = sentencepiece.SentencePieceProcessor()
        self.pieces.LoadFromSerializedProto(base64.b64decode(metadata["tokenizer"]))
        self.parameters = sum(tensor.size for tensor in self.tensors.values())

    def decode(self, ids):
        return self.pieces.decode([int(i) for i in ids])

    def write(self, path, tensors):
        """The same file with other numbers in its tensors."""
        data = bytearray(self.data)
        for name, (begin, end) in self.places.items():
            new = tensors[name].tobytes()
            assert len(new) == end - begin, name
            data[begin:end] = new
        pathlib.Path(path).write_bytes(data)

    def read_pairs(self, folder):
        """The pieces of both sides of the training part of a data set."""
        sides = ((folder / f"train.{side}").read_text().split("\n")[:-1] for side in ("en", "de"))
        return list(zip(*(self.pieces.encode(texts) for texts in sides)))


# --- PyTorch ----------------------------------------------------------------------------------------------------------


def make_torch_translator(torch, vocabulary):
    """mat's model: include/mat/models/translator.hpp."""
    nn = torch.nn

    class TorchTranslator(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, DIM)
            nn.init.normal_(self.embedding.weight, std=DIM**-0.5)
            self.transformer = nn.Transformer(DIM, HEADS, LAYERS, LAYERS, HIDDEN, DROPOUT, norm_first=True,
                                              batch_first=True)
            self.output_bias = nn.Parameter(torch.zeros(vocabulary))
            self.dropout = nn.Dropout(DROPOUT)
            self.register_buffer("positions", torch.from_numpy(sinusoids()), persistent=False)
            later = torch.ones(LONGEST, LONGEST, dtype=torch.bool).triu(1)
            self.register_buffer("causal", later, persistent=False)

        def read(self, ids):
            return self.dropout(math.sqrt(DIM) * self.embedding(ids) + self.positions[: ids.shape[1]])

        def encode(self, source, padding):
            return self.transformer.encoder(self.read(source), src_key_padding_mask=padding)

        def decode(self, target, memory, memory_padding, target_padding=None):
            mask = self.causal[: target.shape[1], : target.shape[1]]
            return self.transformer.decoder(self.read(target), memory, mask, tgt_key_padding_mask=target_padding,
                                            memory_key_padding_mask=memory_padding, tgt_is_causal=True)

        def scores(self, decoded):
            return nn.functional.linear(decoded, self.embedding.weight, self.output_bias)

        def load_mat(self, file):
            ours = {("transformer." if name[0] in "de" and name[:9] != "embedding" else "") + name: torch.from_numpy(t)
                    for name, t in file.tensors.items()}
            self.load_state_dict(ours, strict=True)

        def mat_tensors(self):
            """By the names of mat's file."""
            return {name.removeprefix("transformer."): tensor.numpy() for name, tensor in self.state_dict().items()}

    return TorchTranslator()


def sinusoids():
    """[LONGEST, DIM]: sines and cosines by turns."""
    import numpy

    features = numpy.arange(DIM)
    angles = numpy.arange(LONGEST)[:, None] * 10000.0 ** (-(features - features % 2) / DIM)
    return numpy.where(features % 2 == 0, numpy.sin(angles), numpy.cos(angles)).astype(numpy.float32)


def most_tokens(source_tokens):
    """Of a translation; include/mat/models/decoding_config.hpp."""
    return min(LONGEST - 1, 2 * source_tokens + 10)


def padded(torch, rows, value):
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


class TorchTraining:
    """The loop of a PyTorch user: batches of similar lengths, or of any, made before, padded, in another order each
    epoch. The rate rises for 400 steps and, if the number of epochs is given, falls along a cosine to 0 at their end."""

    def __init__(self, torch, file, pairs, seed=1, epochs=None, by_length=True):
        self.torch, (begin, end) = torch, (file.pieces.bos_id(), file.pieces.eos_id())
        torch.manual_seed(seed)
        self.model = make_torch_translator(torch, file.pieces.get_piece_size()).train()
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), LEARNING_RATE, (0.9, 0.98), weight_decay=0.01,
                                           fused=True)
        swa = torch.optim.swa_utils
        self.average = swa.AveragedModel(self.model, multi_avg_fn=swa.get_ema_multi_avg_fn(AVERAGE_DECAY))
        self.loss = torch.nn.CrossEntropyLoss(ignore_index=-100, label_smoothing=SMOOTHING)
        self.step_number, self.next = 0, 0
        self.batches, real, total = [], 0, 0
        order = torch.randperm(len(pairs)).tolist()
        if by_length:
            order.sort(key=lambda i: (len(pairs[i][1]), len(pairs[i][0])))
        for batch in self.cut(pairs, order):
            source = padded(torch, [pairs[i][0] + [end] for i in batch], -1)
            target = padded(torch, [[begin] + pairs[i][1] for i in batch], -1)
            labels = padded(torch, [pairs[i][1] + [end] for i in batch], -100)
            self.batches.append((source.clamp(min=0), source < 0, target.clamp(min=0), target < 0, labels))
            real += int((labels >= 0).sum() + (source >= 0).sum())
            total += labels.numel() + source.numel()
        self.shuffle()
        self.steps = epochs and epochs * len(self.batches)
        self.padding = 1 - real / total

    @staticmethod
    def cut(pairs, order):
        batch, tokens = [], 0
        for i in order:
            length = len(pairs[i][0]) + len(pairs[i][1]) + 2
            if batch and tokens + length > BATCH_TOKENS:
                yield batch
                batch, tokens = [], 0
            batch.append(i)
            tokens += length
        yield batch

    def shuffle(self):
        self.batches = [self.batches[i] for i in self.torch.randperm(len(self.batches)).tolist()]

    def rate(self):
        if self.step_number <= RISING_STEPS:
            return LEARNING_RATE * self.step_number / RISING_STEPS
        if not self.steps:
            return LEARNING_RATE
        done = (self.step_number - RISING_STEPS) / (self.steps - RISING_STEPS)
        return LEARNING_RATE * (1 + math.cos(math.pi * done)) / 2

    def step(self):
        """Returns the number of tokens of the translations."""
        source, source_padding, target, target_padding, labels = self.batches[self.next]
        self.next = (self.next + 1) % len(self.batches)
        if self.next == 0:
            self.shuffle()
        self.step_number += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        model = self.model
        memory = model.encode(source, source_padding)
        scores = model.scores(model.decode(target, memory, source_padding, target_padding))
        loss = self.loss(scores.flatten(0, 1), labels.flatten())
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.average.update_parameters(model)
        self.last_loss = loss.item()
        return int((labels >= 0).sum())

    def measure(self, steps):
        for _ in range(WARM_STEPS):
            self.step()
        clock = Clock()
        tokens = sum(self.step() for _ in range(steps))
        return dict(clock.seconds(), tokens=tokens)


class TorchTranslate:
    """Batches of sentences of similar lengths; the whole translation is read again for each token."""

    def __init__(self, torch, file):
        self.torch, self.file = torch, file
        self.model = make_torch_translator(torch, file.pieces.get_piece_size()).eval()
        self.model.load_mat(file)
        self.begin, self.end = file.pieces.bos_id(), file.pieces.eos_id()
        self.forbidden = [file.pieces.bos_id(), file.pieces.unk_id()]

    def translate(self, texts, beam):
        sources = [ids + [self.end] for ids in self.file.pieces.encode(texts)]
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        found = [""] * len(texts)
        with self.torch.inference_mode():
            for first in range(0, len(order), PEER_BATCH):
                part = order[first : first + PEER_BATCH]
                search = self.greedy if beam == 1 else self.beam_search
                for i, ids in zip(part, search([sources[i] for i in part], beam)):
                    found[i] = self.file.decode(ids)
        return found

    def encode(self, sources):
        source = padded(self.torch, sources, -1)
        return self.model.encode(source.clamp(min=0), source < 0), source < 0

    def log_probabilities(self, target, memory, padding):
        scores = self.model.scores(self.model.decode(target, memory, padding)[:, -1])
        scores[:, self.forbidden] = -math.inf
        return scores.log_softmax(1)

    def greedy(self, sources, _):
        memory, padding = self.encode(sources)
        most = self.torch.tensor([most_tokens(len(source)) for source in sources])
        target = self.torch.full((len(sources), 1), self.begin)
        done = self.torch.zeros(len(sources), dtype=self.torch.bool)
        while not done.all():
            best = self.log_probabilities(target, memory, padding).argmax(1).masked_fill(done, self.end)
            target = self.torch.cat([target, best[:, None]], 1)
            done |= (best == self.end) | (target.shape[1] > most)
        return [row[: row.index(self.end)] if self.end in row else row for row in target[:, 1:].tolist()]

    def beam_search(self, sources, beam):
        """include/mat/models/beam_search.hpp: scores are the mean of log p."""
        torch, count = self.torch, len(sources)
        memory, padding = (x.repeat_interleave(beam, 0) for x in self.encode(sources))
        target = torch.full((count * beam, 1), self.begin)
        sums = torch.full((count, beam), -math.inf)
        sums[:, 0] = 0  # the others would be the same
        found, open_ = [[] for _ in sources], [True] * count
        while any(open_):
            length = target.shape[1]  # of a translation with the token that is chosen now
            following = sums.view(-1, 1) + self.log_probabilities(target, memory, padding)
            best = following.view(count, -1).topk(2 * beam, 1)
            parents = best.indices.div(following.shape[1], rounding_mode="floor").tolist()
            tokens, values = (best.indices % following.shape[1]).tolist(), best.values.tolist()
            rows, chosen, next_sums = [], [], []
            for b, source in enumerate(sources):
                going = []
                for rank in range(2 * beam):
                    candidate = values[b][rank], parents[b][rank] + b * beam, tokens[b][rank]
                    if candidate[2] != self.end and len(going) < beam:
                        going.append(candidate)
                    elif candidate[2] == self.end and rank < beam and open_[b]:
                        found[b].append((candidate[0] / length, target[candidate[1], 1:].tolist()))
                if open_[b]:
                    best_found = max(found[b])[0] if len(found[b]) >= beam else -math.inf
                    if going[0][0] / length <= best_found:
                        open_[b] = False
                    elif length >= most_tokens(len(source)):
                        found[b] += [(s / length, target[row, 1:].tolist() + [token]) for s, row, token in going]
                        open_[b] = False
                next_sums.append([s for s, _, _ in going])
                rows += [row for _, row, _ in going]
                chosen += [token for _, _, token in going]
            target, sums = torch.cat([target[rows], torch.tensor(chosen)[:, None]], 1), torch.tensor(next_sums)
        return [max(hypotheses)[1] for hypotheses in found]


# --- CTranslate2 ------------------------------------------------------------------------------------------------------


def convert_to_ctranslate2(file, folder):
    """The same model exactly: norms first and at the end of both stacks, scaled embeddings, sinusoids added."""
    from ctranslate2.specs import common_spec, transformer_spec

    t = file.tensors
    spec = transformer_spec.TransformerSpec.from_config(LAYERS, HEADS, pre_norm=True,
                                                        activation=common_spec.Activation.RELU)

    def linear(layer, weight, bias):
        layer.weight, layer.bias = weight, bias

    def norm(layer, name):
        layer.gamma, layer.beta = t[name + ".weight"], t[name + ".bias"]

    def attention(layer, name, norm_name, cross=False):
        weight, bias = t[name + ".in_proj_weight"], t[name + ".in_proj_bias"]
        parts = [(0, DIM), (DIM, 3 * DIM)] if cross else [(0, 3 * DIM)]
        for part, (begin, end) in zip(layer.linear, parts):
            linear(part, weight[begin:end], bias[begin:end])
        linear(layer.linear[-1], t[name + ".out_proj.weight"], t[name + ".out_proj.bias"])
        norm(layer.layer_norm, norm_name)

    def feed_forward(layer, name, norm_name):
        linear(layer.linear_0, t[name + ".linear1.weight"], t[name + ".linear1.bias"])
        linear(layer.linear_1, t[name + ".linear2.weight"], t[name + ".linear2.bias"])
        norm(layer.layer_norm, norm_name)

    for stack, name, embeddings in ((spec.encoder, "encoder", spec.encoder.embeddings[0]),
                                    (spec.decoder, "decoder", spec.decoder.embeddings)):
        embeddings.weight = t["embedding.weight"]
        stack.position_encodings.encodings = sinusoids()
        norm(stack.layer_norm, name + ".norm")
        for i, layer in enumerate(stack.layer):
            prefix = f"{name}.layers.{i}"
            attention(layer.self_attention, prefix + ".self_attn", prefix + ".norm1")
            if name == "decoder":
                attention(layer.attention, prefix + ".multihead_attn", prefix + ".norm2", cross=True)
            feed_forward(layer.ffn, prefix, prefix + (".norm3" if name == "decoder" else ".norm2"))
    linear(spec.decoder.projection, t["embedding.weight"], t["output_bias"])
    pieces = [file.pieces.id_to_piece(i) for i in range(file.pieces.get_piece_size())]
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    spec.config.add_source_eos = True
    spec.config.decoder_start_token = spec.config.bos_token = pieces[file.pieces.bos_id()]
    spec.config.eos_token, spec.config.unk_token = pieces[file.pieces.eos_id()], pieces[file.pieces.unk_id()]
    spec.config.layer_norm_epsilon = file.settings["layer_norm_eps"]
    spec.validate()
    spec.optimize(quantization="float32")
    spec.save(folder)


class Ctranslate2:
    def __init__(self, file, folder, threads):
        import ctranslate2

        self.file = file
        convert_to_ctranslate2(file, folder)
        self.translator = ctranslate2.Translator(folder, compute_type="float32", inter_threads=1,
                                                 intra_threads=threads)

    def translate(self, texts, beam, batch):
        """In batches of similar lengths, so that each has a limit of its own for what would never end."""
        sources = self.file.pieces.encode(texts, out_type=str)
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        found = [""] * len(texts)
        for first in range(0, len(order), batch):
            part = order[first : first + batch]
            results = self.translator.translate_batch([sources[i] for i in part], beam_size=beam, disable_unk=True,
                                                      max_decoding_length=most_tokens(len(sources[part[-1]]) + 1))
            for i, result in zip(part, results):
                found[i] = self.file.pieces.decode_pieces(result.hypotheses[0])
        return found


class Clock:
    """Seconds of this process since the clock was made."""

    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def seconds(self):
        return {"cpu": time.process_time() - self.cpu, "wall": time.perf_counter() - self.wall}
