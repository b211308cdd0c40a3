package gpu

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// sampleOf makes GPUs with a tensor and a DRAM activity each.
func sampleOf(activities ...[2]Value) *Sample {
	s := &Sample{At: epoch, Of: map[Entity]Readings{}}
	for i, a := range activities {
		d := Device{Entity: Entity{WholeGPU, uint(i)}, Index: uint(i)}
		s.Devices = append(s.Devices, d)
		s.Of[d.Entity] = Readings{FieldTensorActive: a[0], FieldDRAMActive: a[1]}
	}
	return s
}

func TestLoadsOfPods(t *testing.T) {
	old := Value{Type: TypeDouble, Double: 0.9, At: epoch.Add(-time.Minute)}
	late := Value{Type: TypeDouble, Double: 0.7, At: epoch.Add(-2 * time.Second)}
	s := sampleOf(
		[2]Value{double(0.77), double(0.21)}, // prefill, rank 0
		[2]Value{late, double(0.23)},         // prefill, rank 1
		[2]Value{double(0.06), double(0.72)}, // decode
		[2]Value{double(0.50), double(0.50)}, // nobody's
		[2]Value{double(140737488355328), old},
	)
	holders := map[uint]Owner{0: {"default", "prefill-0", "main"}, 1: {"default", "prefill-0", "side"}, 2: {"default", "decode-0", "main"}, 4: {"default", "blank", "main"}}
	got := Loads(s, func(d Device) (Owner, bool) { o, ok := holders[d.Index]; return o, ok }, epoch, 5*time.Second)
	want := []PodLoad{
		{Namespace: "default", Pod: "blank", GPUs: 1},
		{Namespace: "default", Pod: "decode-0", GPUs: 1, Tensor: Load{Measured: 1, Mean: 0.06}, DRAM: Load{Measured: 1, Mean: 0.72}},
		{Namespace: "default", Pod: "prefill-0", GPUs: 2, Tensor: Load{Measured: 2, Mean: 0.735, Spread: 0.07, Age: 2 * time.Second}, DRAM: Load{Measured: 2, Mean: 0.22, Spread: 0.02}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
}

// A pod's load lies between those of its GPUs, whatever cannot be used among them.
func TestLoadLiesBetweenItsGPUs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var values [][2]Value
		lowest, highest, good := math.Inf(1), math.Inf(-1), 0
		for range rapid.IntRange(1, 8).Draw(t, "GPUs") {
			v := Value{Type: TypeDouble, At: epoch.Add(-time.Duration(rapid.IntRange(0, 8).Draw(t, "age")) * time.Second)}
			v.Double = rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64()).Draw(t, "activity")
			v.Status = rapid.SampledFrom([]int{0, 0, 0, -14, -18}).Draw(t, "status")
			values = append(values, [2]Value{v, v})
			if share, why := v.Number(Field{Share: true}, epoch, 5*time.Second); why == Good {
				lowest, highest, good = min(lowest, share), max(highest, share), good+1
			}
		}
		load := Loads(sampleOf(values...), func(Device) (Owner, bool) { return Owner{"default", "p", "main"}, true }, epoch, 5*time.Second)[0]
		if load.GPUs != len(values) || load.Tensor.Measured != good || load.Tensor != load.DRAM {
			t.Fatalf("%d GPUs, %d of them good, give %+v", len(values), good, load)
		}
		const ulp = 1e-12
		if l := load.Tensor; good > 0 && (l.Mean < lowest-ulp || l.Mean > highest+ulp || math.Abs(l.Spread-(highest-lowest)) > ulp || l.Age > 5*time.Second) {
			t.Fatalf("values in %v..%v give %+v", lowest, highest, l)
		}
		if good == 0 && load.Tensor != (Load{}) {
			t.Fatalf("no good value gives %+v", load.Tensor)
		}
	})
}
