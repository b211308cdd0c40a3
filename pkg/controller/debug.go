package controller

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// DecisionsPath is where the last decision records of a resource are served:
// DecisionsPath + NAMESPACE/NAME, newest last, at most ?last=N of them.
const DecisionsPath = "/debug/decisions/"

// DecisionsHandler serves the records as a JSON array of planner.Record. It
// checks no identity: it belongs behind the metrics server's filter.
func (c *Reconciler) DecisionsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodGet && request.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
			return
		}
		namespace, name, found := strings.Cut(strings.TrimPrefix(request.URL.Path, DecisionsPath), "/")
		if !found || namespace == "" || name == "" || strings.Contains(name, "/") {
			http.Error(w, "the path must be "+DecisionsPath+"NAMESPACE/NAME", http.StatusBadRequest)
			return
		}
		last := c.recordsKept
		if text := request.URL.Query().Get("last"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				http.Error(w, fmt.Sprintf("last is %q: it must be a whole number of 1 or more", text), http.StatusBadRequest)
				return
			}
			last = n
		}
		svc := c.store.get(types.NamespacedName{Namespace: namespace, Name: name})
		if svc == nil {
			http.Error(w, fmt.Sprintf("no decisions of PDAutoscaler %s/%s are kept here: it does not exist, or another replica of the controller is the leader", namespace, name), http.StatusNotFound)
			return
		}
		body, err := encodeRecords(svc.records.last(last))
		if err != nil {
			http.Error(w, "the records cannot be written as JSON: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		// An error here means that the client has gone.
		_, _ = w.Write(body)
	})
}

// encodeRecords writes an array with one record a line.
func encodeRecords(records []planner.Record) ([]byte, error) {
	body := []byte("[")
	for i := range records {
		if i > 0 {
			body = append(body, ',')
		}
		one, err := json.Marshal(&records[i])
		if err != nil {
			return nil, fmt.Errorf("record of %s: %w", records[i].Input.Now, err)
		}
		body = append(append(body, '\n'), one...)
	}
	return append(body, "\n]\n"...), nil
}
