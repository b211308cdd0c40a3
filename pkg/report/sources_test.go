package report

import (
	"strings"
	"testing"
	"time"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
)

// Where the readings come from is said with the queries as they can be asked again.
func TestSourcesAndQueries(t *testing.T) {
	query := `{__name__=~"up|vllm:num_requests_running",namespace="default",pod=~"` + strings.Repeat("decode-0|", 30) + `decode-1"}[60s]`
	pda := &v1alpha1.PDAutoscaler{}
	pda.Status.Signals = v1alpha1.SignalsStatus{
		Sources: []v1alpha1.SourceStatus{
			{Kind: "decode", Read: 2, Failed: 1, Engine: "vllm", Names: []string{"vllm:num_requests_running"}, Message: "decode pod d-1: prometheus could not read the pod"},
			{Kind: "prometheus", Read: 1},
		},
		Queries: []string{query},
	}
	e := OfStatus(pda)
	var b strings.Builder
	if err := e.Text(&b, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nRead from:\n", "  decode: 2 read, 1 failed, names of vllm; decode pod d-1: prometheus could not read the pod.\n", "  prometheus: 1 read.\n",
		"\nPrometheus is asked:\n  " + query + "\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	none := OfStatus(&v1alpha1.PDAutoscaler{})
	b.Reset()
	if err := none.Text(&b, time.Time{}); err != nil || strings.Contains(b.String(), "Read from") || strings.Contains(b.String(), "is asked") {
		t.Errorf("without sources: %v\n%s", err, b.String())
	}
}
