"""The counters behind DCGM's profiling fields, read through NVML's GPM from libnvidia-ml, and the board's power."""

import ctypes

# NVML's numbers of the metrics, and DCGM's fields of the same counters: 1001, 1002, 1003, 1004, 1005.
METRICS = {"graphics": 1, "sm_active": 2, "sm_occupancy": 3, "tensor_active": 5, "hmma_active": 7, "dram_active": 10}


class _Metric(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint), ("result", ctypes.c_int), ("value", ctypes.c_double),
                ("short", ctypes.c_char_p), ("long", ctypes.c_char_p), ("unit", ctypes.c_char_p)]


class _Get(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint), ("count", ctypes.c_uint), ("a", ctypes.c_void_p), ("b", ctypes.c_void_p), ("metrics", _Metric * 400)]


class Counters:
    """Reads of one GPU; every method returns {} where the driver does not answer."""

    def __init__(self, index):
        self.samples = None
        try:
            self.lib = ctypes.CDLL("libnvidia-ml.so.1")
            self.device = ctypes.c_void_p()
            self.samples = [ctypes.c_void_p(), ctypes.c_void_p()]
            calls = [self.lib.nvmlInit_v2(), self.lib.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(self.device))]
            calls += [self.lib.nvmlGpmSampleAlloc(ctypes.byref(s)) for s in self.samples]
            self.failed = f"NVML answers {calls}" if any(calls) else ""
        except (OSError, AttributeError) as e:
            self.failed = str(e)

    def sample(self, i):
        if not self.failed:
            result = self.lib.nvmlGpmSampleGet(self.device, self.samples[i])
            self.failed = f"nvmlGpmSampleGet answers {result}" if result else ""

    def between(self):
        """The metrics between sample 0 and sample 1, in per cent."""
        if self.failed:
            return {"counters": self.failed}
        get = _Get(version=1, count=len(METRICS), a=self.samples[0], b=self.samples[1])
        for m, i in zip(get.metrics, METRICS.values()):
            m.id = i
        result = self.lib.nvmlGpmMetricsGet(ctypes.byref(get))
        if result:
            return {"counters": f"nvmlGpmMetricsGet answers {result}"}
        return {name: round(m.value, 3) for name, m in zip(METRICS, get.metrics) if m.result == 0}

    def watts(self):
        milliwatts = ctypes.c_uint()
        if self.samples is None or self.lib.nvmlDeviceGetPowerUsage(self.device, ctypes.byref(milliwatts)):
            return {}
        return {"watts": milliwatts.value / 1000}

    def clock(self):
        mhz = ctypes.c_uint()
        if self.samples is None or self.lib.nvmlDeviceGetClockInfo(self.device, 1, ctypes.byref(mhz)):
            return {}
        return {"sm_mhz": mhz.value}
