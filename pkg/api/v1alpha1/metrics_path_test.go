package v1alpha1

import "testing"

func TestWorkerPath(t *testing.T) {
	for engine, want := range map[Engine]string{EngineTRTLLM: "/prometheus/metrics", EngineDynamoTRTLLM: "/metrics", EngineVLLM: "/metrics", EngineAuto: "/metrics"} {
		if got := (&Signals{Engine: engine}).WorkerPath(); got != want {
			t.Errorf("%s: %s, want %s", engine, got, want)
		}
		own := &Signals{Engine: engine, Direct: DirectSignals{Path: "/own"}}
		if got := own.WorkerPath(); got != "/own" {
			t.Errorf("%s: %s where the resource says /own", engine, got)
		}
	}
}
