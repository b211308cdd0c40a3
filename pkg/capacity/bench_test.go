package capacity

import (
	"testing"

	"github.com/pdautoscaler/pdautoscaler/pkg/perfmodel"
)

var sink float64

func BenchmarkTTFT(b *testing.B) {
	s := qwenService(b, perfmodel.Options{TP: 2})
	t := conversation(0.92, 0.6, 1)
	t.RequestsPerSecond = 80
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		sink += s.PrefillPool(8+n%24, t).TTFTQuantileMs(0.95)
	}
}

func BenchmarkTPOT(b *testing.B) {
	s := qwenService(b, perfmodel.Options{TP: 2})
	t := conversation(0.92, 0.6, 1)
	t.RequestsPerSecond = 80
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		sink += s.DecodePool(8+n%24, t).TPOTQuantileMs(0.95)
	}
}

func BenchmarkReplicasNeeded(b *testing.B) {
	s := qwenService(b, perfmodel.Options{TP: 2})
	t := conversation(0.92, 0.6, 1)
	t.RequestsPerSecond = 80
	b.ReportAllocs()
	for b.Loop() {
		p, _ := s.PrefillReplicas(t, Objective{0.95, 500}, 64)
		d, _ := s.DecodeReplicas(t, Objective{0.95, 30}, 64)
		sink += float64(p + d)
	}
}

func BenchmarkMaxRate(b *testing.B) {
	s := qwenService(b, perfmodel.Options{TP: 2})
	t := conversation(0.92, 0.6, 1)
	b.ReportAllocs()
	for b.Loop() {
		sink += s.MaxRatePrefill(8, t, Objective{0.95, 500}) + s.MaxRateDecode(8, t, Objective{0.95, 30})
	}
}
