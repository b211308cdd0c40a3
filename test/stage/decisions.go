package stage

import (
	"bytes"
	"context"
	"fmt"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// Page reads a page of the autoscaler as a person who may.
func (s *Stage) Page(ctx context.Context, path string) ([]byte, error) {
	return s.controller.get(ctx, path, s.readerToken)
}

// Decisions returns up to last decision records, oldest first, as the autoscaler serves them. None, without an error, before
// it has made its first.
func (s *Stage) Decisions(ctx context.Context, last int) ([]planner.Record, error) {
	path := fmt.Sprintf("/debug/decisions/%s/%s?last=%d", Namespace, Name, last)
	body, err := s.Page(ctx, path)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(bytes.Join(bytes.Fields(body), nil), []byte("[]")) {
		return nil, nil
	}
	return report.ReadRecords(bytes.NewReader(body), path)
}
