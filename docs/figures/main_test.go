package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// The pictures in docs/images are those of the data and of this code.
func TestFiguresAreCurrent(t *testing.T) {
	data := os.Getenv(dataEnv)
	if data == "" {
		t.Skip(dataEnv + " names no folder of measured data")
	}
	for name, draw := range figures {
		want, err := draw(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := os.ReadFile(filepath.Join("../images", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/images/%s is not current: run make figures (%v)", name, err)
		}
	}
}

// Data that are not there, or are something else, draw nothing.
func TestBrokenData(t *testing.T) {
	for name, content := range map[string]string{"nothing": "", "no JSON": "prefill", "few rows": `{"prefill":[{"tokens":64,"ms":20}]}`} {
		data := t.TempDir()
		for _, file := range []string{stepsFile, traceFile} {
			path := filepath.Join(data, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for figure, draw := range figures {
			if _, err := draw(data); err == nil {
				t.Errorf("%s: %s was drawn", name, figure)
			}
		}
	}
}

func TestCorrelation(t *testing.T) {
	up := []float64{1, 2, 3, 4}
	for _, tc := range []struct {
		y    []float64
		want float64
	}{{[]float64{2, 4, 6, 8}, 1}, {[]float64{8, 6, 4, 2}, -1}, {[]float64{1, -1, -1, 1}, 0}} {
		if got := correlation(up, tc.y); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", tc.y, got, tc.want)
		}
	}
}
