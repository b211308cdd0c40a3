"""How a step is timed: captured once as a CUDA graph, replayed back to back, each replay between two events; the median."""

import statistics

import torch


class Clock:
    """agree makes the ranks of a step replay it equally often: it returns rank 0's value on all of them."""

    def __init__(self, counters, agree=lambda value: value):
        self.counters, self.agree = counters, agree

    def capture(self, step):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            step()
            step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # NCCL's watchdog thread makes CUDA calls of its own meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            step()
        return graph

    def time(self, step, seconds, counted=False, inner=1):
        """A row of ms per step (a graph may hold `inner` of them), the counters over at least a second where counted."""
        graph = self.capture(step)
        run = lambda count, sync=True: self.replay(graph, count, sync)
        run(1)
        guess = self.agree(statistics.median(run(2)))
        times = run(max(3, min(200, int(seconds * 1000 / guess))))
        row = dict(ms=statistics.median(times) / inner, min=min(times) / inner, max=max(times) / inner, steps=len(times))
        if counted:
            run(max(1, int(300 / guess)))
            self.counters.sample(0)
            run(max(2, int(1200 / guess)), sync=False)
            row |= self.counters.watts() | self.counters.clock()
            torch.cuda.synchronize()
            self.counters.sample(1)
            row |= self.counters.between()
        graph.reset()
        del graph
        return row

    @staticmethod
    def replay(graph, count, sync=True):
        """The ms of each of count replays."""
        events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
        events[0].record()
        for e in events[1:]:
            graph.replay()
            e.record()
        if not sync:
            # Half of the work is left when the power is read.
            events[count // 2].synchronize()
            return []
        torch.cuda.synchronize()
        return [a.elapsed_time(b) for a, b in zip(events, events[1:])]
