package signals

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// Whatever a server answers, nothing panics and every reading is known, zero, or unknown with its cause.
func FuzzPrometheusAnswer(f *testing.F) {
	for _, answer := range []string{
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","pod":"decode","namespace":"default"},"values":[[1767322800,"1"],[1767322815,"1"]]},
		 {"metric":{"__name__":"vllm:kv_cache_usage_perc","pod":"decode","namespace":"default"},"values":[[1767322800,"0.5"],[1767322815,"NaN"]]}]}}`,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"vllm:request_prompt_tokens_bucket","le":"10","pod":"prefill","namespace":"default"},"values":[[1767322800,"1"],[1767322815,null]]},
		 {"metric":{"__name__":"vllm:request_prompt_tokens","pod":"prefill","namespace":"default"},"histograms":[[1767322815,{"count":"3","sum":"9","buckets":[[0,"1","2","3"]]}]]}]}}`,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"DCGM_FI_PROF_DRAM_ACTIVE","UUID":"G","pod":"decode","namespace":"default"},"values":[[1767322815,"140737488355328"]]}]},"warnings":["x"]}`,
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		c, err := New(Config{Engine: EngineAuto, TTFTPercentile: 0.9, TPOTPercentile: 0.9, Prometheus: &PrometheusConfig{URL: "http://p", GPUs: true}})
		if err != nil {
			t.Fatal(err)
		}
		c.prom.client.http.Transport = answers(answer)
		var targets []Target
		for _, kind := range []Kind{KindFrontend, KindPrefill, KindDecode} {
			targets = append(targets, Target{Kind: kind, Namespace: "default", Pod: string(kind), UID: string(kind), URL: "http://10.0.0.1:8000/metrics", Ready: true})
		}
		for i := range 2 {
			var s planner.Signals
			s, _ = c.Collect(t.Context(), targets, epoch.Add(20*time.Second+time.Duration(i)*interval))
			if _, err := json.Marshal(s); err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			soundReadings(t, &s)
		}
	})
}

// answers is a server that always says the same.
type answers string

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}
