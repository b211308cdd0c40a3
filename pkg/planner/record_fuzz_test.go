package planner

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"testing"
)

// FuzzPlan: whatever a record's input says, Plan comes back, says the same twice, changes nothing it was given, gives
// plain JSON, and keeps the budget and the bounds.
//
// Bytes changed at random in JSON are rarely JSON. So the fuzzer chooses a recorded input and edits of three bytes each:
// two say which value of it, the third what stands there instead.
func FuzzPlan(f *testing.F) {
	recorded := recordedInputs(f)
	for i := range recorded {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{0, byte(3 * i), byte(i), 1, byte(5 * i), byte(2 * i)})
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		in, ok := edited(t, recorded[int(which)%len(recorded)], edits)
		if !ok {
			t.Skip("not an input")
		}
		before := encode(t, in)
		d, m := Plan(in)
		if after := encode(t, in); after != before {
			t.Fatalf("Plan changed its input:\n%s\n%s", before, after)
		}
		// A service whose coefficients no perfmodel gives (a negative time) may predict what is no number.
		if in.Spec.Service == sharedService {
			again, memory := Plan(in)
			if encode(t, d) != encode(t, again) || encode(t, m) != encode(t, memory) {
				t.Fatalf("the same input gave two decisions:\n%s\n%s", encode(t, d), encode(t, again))
			}
		}
		if asked := d.GPUs.Requested; asked != 0 {
			held := new(big.Int).Add(gpusHeld(&in.Snapshot.Prefill, &in.Spec.Prefill), gpusHeld(&in.Snapshot.Decode, &in.Spec.Decode))
			total := held.Add(held, big.NewInt(int64(asked)))
			if budget := in.Spec.BudgetGPUs; asked < 0 || budget > 0 && total.Cmp(big.NewInt(int64(budget))) > 0 {
				t.Fatalf("%d GPUs are asked for, %s in all, and the budget is %d", asked, total, budget)
			}
		}
		for _, role := range []Role{Prefill, Decode} {
			r, spec := d.role(role), in.Spec.role(role)
			if r.To != r.From && (r.To < min(r.From, spec.Min) || r.To > max(r.From, spec.Max)) {
				t.Fatalf("%s goes from %d to %d with minimum %d and maximum %d", role, r.From, r.To, spec.Min, spec.Max)
			}
		}
	})
}

func encode(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("no JSON: %v", err)
	}
	return string(out)
}

// gpusHeld counts what a role holds and is about to take, without the planner's help and without overflow.
func gpusHeld(p *Pool, spec *RoleSpec) *big.Int {
	per := p.GPUsPerReplica
	if per == 0 {
		per = spec.GPUsPerReplica
	}
	sum, live := new(big.Int), 0
	for _, r := range p.Replicas {
		sum.Add(sum, big.NewInt(int64(r.GPUs)))
		if r.State != Terminating {
			live++
		}
	}
	coming := new(big.Int).Mul(big.NewInt(int64(max(0, p.Desired-live))), big.NewInt(int64(per)))
	return sum.Add(sum, coming)
}

// recordedInputs are what was planned with while a load changed: growth, a move, a wait, an outage.
func recordedInputs(f *testing.F) (inputs [][]byte) {
	for _, l := range []load{
		{rate: 3, input: 4000, output: 300}, {rate: 9, input: 6000, output: 150}, {rate: 9, input: 1500, output: 1400}, {unknown: true}, {},
	} {
		w := newWorld(testSpec(), 4, 2)
		w.change = func(s *Snapshot) { s.FreeGPUsByNode = map[string]int{"a": 2, "b": 0} }
		for range 15 {
			w.step(load{rate: 2, input: 2000, output: 300})
		}
		for range 3 {
			in, _ := w.step(l)
			text, err := json.Marshal(in)
			if err != nil {
				f.Fatal(err)
			}
			inputs = append(inputs, text)
		}
	}
	return inputs
}

// oddNumbers and oddTexts are what an edit puts in: bounds, and values from other places of a record.
var (
	oddNumbers = []json.Number{"0", "1", "-1", "2", "3", "0.5", "7", "12", "100", "4096", "4097", "1e-300", "1e9", "2147483648",
		"9223372036854775807", "-9223372036854775808", "1.7e308", "-1e308", "40", "2000"}
	oddTexts = []string{"", "unknown", "known", "zero", "ready", "starting", "terminating", "Draining", "Starting", "Returning", "prefill", "decode",
		"0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:02:40Z", "2026-01-01T01:00:00+14:00", "9000-12-31T23:59:59Z"}
)

// edited applies edits to the values of a JSON document, and reads the result.
func edited(t *testing.T, document, edits []byte) (in Input, ok bool) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	var values []func(by byte)
	places(tree, func(any) {}, &values)
	for ; len(edits) >= 3; edits = edits[3:] {
		values[(int(edits[0])<<8+int(edits[1]))%len(values)](edits[2])
	}
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return in, json.Unmarshal(text, &in) == nil
}

// places collects, in a fixed order, a function for each value of a tree that puts an odd one in its place.
func places(v any, set func(any), into *[]func(by byte)) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			places(v[key], func(x any) { v[key] = x }, into)
		}
	case []any:
		for i := range v {
			places(v[i], func(x any) { v[i] = x }, into)
		}
	case json.Number:
		*into = append(*into, func(by byte) { set(oddNumbers[int(by)%len(oddNumbers)]) })
	case string:
		*into = append(*into, func(by byte) { set(oddTexts[int(by)%len(oddTexts)]) })
	case bool:
		*into = append(*into, func(by byte) { set(by%2 == 0) })
	}
}
