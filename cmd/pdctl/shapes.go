package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel/calibrate"
)

// shapeRows hold the unfitted model against each step grid in dir whose model the catalogue has.
func shapeRows(dir string) (out []accuracyRow, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "steps-*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		r, err := readReadings(path, calibrate.ReadGrid)
		if err != nil {
			return nil, err
		}
		model, err := perfmodel.LookupModel(r.Model)
		if err != nil {
			continue
		}
		gpu, err := perfmodel.MatchGPU(r.GPU)
		if err != nil {
			return nil, err
		}
		o := perfmodel.Options{TP: r.TP}
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "steps-"), ".json")
		parts := strings.Split(name, "-")
		if slices.Contains(parts, "fp8") {
			o.WeightBytesPerElement = 1
		}
		c, err := calibrate.New(model, gpu, o)
		if err != nil {
			return nil, err
		}
		// Routing that follows a Zipf law touches fewer experts than even routing, which is what the model knows.
		decode := 0.10
		if slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, "skew") }) {
			decode = 0.20
		}
		out = append(out,
			accuracyRow{name + ", no fit: prefill", 0.12, c.Errors(calibrate.Prefill, r.Observations)},
			accuracyRow{name + ", no fit: decode", decode, c.Errors(calibrate.Decode, r.Observations)})
	}
	return out, nil
}
