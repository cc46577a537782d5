"""The gradient of a batch as a CUDA graph: recorded once for each task and length, then replayed as a whole.

A GPU finishes most of a small batch's kernels before the processor has launched the next one; a graph launches all of them at once.
Sequences are padded to a multiple of BUCKET tokens, so that few shapes occur; a partial batch runs without a graph. Random numbers come
from torch's generator at the time of the replay, so a step's draws depend only on seed and step, as without graphs. All recordings share
scratch memory and one gradient per parameter. Knows no optimizer and no run folder.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import pad

from mtdnn_kit.errors import ConfigError
from mtdnn_kit.training.loop import backward, loss_of_batch, moved
from mtdnn_kit.training.setup import Setup

BUCKET = 64  # tokens: lengths are rounded up to a multiple of it
WARM = 2  # warm-up steps before a recording, in which libraries initialise
FILLING = {"input_ids": "pad_token_id"}  # inputs that are padded with an id of the tokenizer instead of 0


@dataclass
class Recording:
    """A recorded step: `replay` reads `inputs` and `targets`, writes `loss` and the gradients of `used`."""

    inputs: dict[str, Tensor]
    targets: Tensor
    loss: Tensor
    used: list[nn.Parameter] = field(default_factory=list)
    replay: Callable[[], None] = field(init=False)


class Graphs:
    """`loop.backward` of one process by recordings, each made when its task and shape first occur.

    record: turns a step into a replay; default: CUDA graphs.
    """

    def __init__(self, accelerator: Accelerator, model: nn.Module, setup: Setup, record: Callable | None = None) -> None:
        self.accelerator, self.model, self.setup, self.record = accelerator, model, setup, record or OnGPU(accelerator.device)
        self.gradients: dict[nn.Parameter, Tensor] = {}
        self.recordings: dict[tuple, Recording] = {}

    def backward(self, task: str, items: np.ndarray, weight: float = 1.0) -> tuple[Tensor, int]:
        """Gradients, loss and tokens of a batch, as from `loop.backward`; the model's gradients must be None before.

        Raises ConfigError if the model's step cannot be recorded.
        """
        if len(items) < self.setup.batch_size or weight != 1.0:
            return backward(self.accelerator, self.model, self.setup, task, items, weight)
        batch = self.setup.train[task].collate(items)
        inputs = widened(batch.inputs, self.setup)
        key = task, *(tuple(x.shape) for x in inputs.values())
        if key not in self.recordings:
            self.recordings[key] = self._recorded(task, inputs, batch.targets)
        one = self.recordings[key]
        for to, x in [(one.targets, batch.targets), *((one.inputs[name], x) for name, x in inputs.items())]:
            to.copy_(moved(x, to.device), non_blocking=True)
        one.replay()
        for p in one.used:
            p.grad = self.gradients[p]
        return one.loss.clone(), batch.tokens

    def _recorded(self, task: str, inputs: dict[str, Tensor], targets: Tensor) -> Recording:
        device = self.accelerator.device
        one = Recording({k: x.to(device) for k, x in inputs.items()}, targets.to(device), torch.zeros((), device=device))

        def step() -> None:
            """The recorded part: forward pass, loss and gradients of the current inputs."""
            loss = loss_of_batch(self.model, self.setup, task, one.inputs, one.targets)
            self.accelerator.backward(loss * self.setup.config.loss_weights.get(task, 1.0))
            one.loss.copy_(loss.detach())
            one.used = [p for p in self.model.parameters() if p.grad is not None]
            self._keep(one.used)

        one.replay = self.record(step)
        return one

    def _keep(self, used: list[nn.Parameter]) -> None:
        """Moves gradients to permanent memory, so that the next recording can reuse the recording's memory."""
        for p in used:
            if p not in self.gradients:
                self.gradients[p] = torch.zeros_like(p)
        torch._foreach_copy_([self.gradients[p] for p in used], [p.grad for p in used])
        self.model.zero_grad(set_to_none=True)


def widened(inputs: dict[str, Tensor], setup: Setup) -> dict[str, Tensor]:
    """Inputs [..., T] padded to the next multiple of BUCKET tokens, `max_length` at most; the padding is masked."""
    length = inputs["attention_mask"].shape[-1]
    more = max(min(-(-length // BUCKET) * BUCKET, setup.config.max_length) - length, 0)
    fill = {name: getattr(setup.tokenizer, FILLING[name]) if name in FILLING else 0 for name in inputs}
    return {name: pad(x, (0, more), value=fill[name]) for name, x in inputs.items()}


class OnGPU:
    """Records steps as CUDA graphs that share one memory pool: none needs another one's data there."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.pool = device, torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        """Runs the step WARM times on a side stream, records it, and restores torch's generator."""
        state, stream = torch.cuda.get_rng_state(self.device), torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM):
                step()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self.pool):
                step()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = str(error).split("\n")[0]
            raise ConfigError(f"cuda_graphs: a step of this model cannot be recorded ({why}); set it to false") from error
        torch.cuda.set_rng_state(state, self.device)
        return graph.replay
