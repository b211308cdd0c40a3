package report

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// filled returns a record in which every field of every type has a value, so that a field that is added later is read,
// written and replayed by these tests too.
func filled(t *testing.T) planner.Record {
	t.Helper()
	var r planner.Record
	n := 0
	fill(t, reflect.ValueOf(&r).Elem(), &n)
	r.Version = planner.RecordVersion
	return r
}

func fill(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, *n%60, 123456789, time.UTC)))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Field(i), n)
			}
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), n)
		}
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		element := reflect.New(v.Type().Elem()).Elem()
		fill(t, element, n)
		v.SetMapIndex(reflect.ValueOf("node-1").Convert(v.Type().Key()), element)
	case v.Kind() == reflect.String:
		v.SetString("text")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.Int:
		v.SetInt(int64(*n))
	case v.Kind() == reflect.Float64:
		v.SetFloat(float64(*n) + 0.1)
	default:
		t.Fatalf("a record holds a %s: teach strict.go and this test to read it", v.Type())
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestReadRecordsReadsWhatIsWritten(t *testing.T) {
	record := filled(t)
	one := marshal(t, record)
	indented, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want []planner.Record
	}{
		"one record":           {one, []planner.Record{record}},
		"with space around":    {" \n\t" + one + "\r\n\n", []planner.Record{record}},
		"with a mark before":   {"\ufeff" + one, []planner.Record{record}},
		"indented":             {string(indented), []planner.Record{record}},
		"a list":               {"[" + one + ",\n" + one + "]", []planner.Record{record, record}},
		"one line after other": {one + "\n" + one + "\n" + one, []planner.Record{record, record, record}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadRecords(strings.NewReader(c.text), "file.json")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("read is not what was written (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadRecordsRefuses(t *testing.T) {
	one := marshal(t, filled(t))
	minimal := `{"version":1,"input":{},"decision":{}}`
	for name, c := range map[string]struct{ text, want string }{
		"nothing":         {"", "f.json:1:1: no decision record in here: it is empty"},
		"an empty list":   {"[]", "f.json:1:1: no decision record in here: the list is empty"},
		"no JSON":         {"kind: PDAutoscaler", "f.json:1:1: record 1: not JSON"},
		"another object":  {`{"kind":"PDAutoscaler"}`, fmt.Sprintf(`f.json:1:1: record 1 has no version: a decision record is {"version": %d, `, planner.RecordVersion)},
		"no input":        {`{"version":1,"decision":{}}`, "f.json:1:1: record 1 has no input"},
		"no decision":     {`{"version":1,"input":{}}`, "f.json:1:1: record 1 has no decision"},
		"newer version":   {strings.Replace(one, fmt.Sprintf(`"version":%d`, planner.RecordVersion), fmt.Sprintf(`"version":%d`, planner.RecordVersion+1), 1), "f.json:1:1: record 1 has version 5 and this program reads version 4: use the pdctl of the release that wrote it"},
		"newer, unknown":  {`{"version":9,"input":{},"decision":{},"more":1}`, "f.json:1:1: record 1 has version 9 and this program reads version 4"},
		"version 0":       {`{"version":0,"input":{},"decision":{}}`, "f.json:1:1: record 1 has version 0: allowed is 1 to 4"},
		"version text":    {`{"version":"1","input":{},"decision":{}}`, `f.json:1:1: record 1 has version "1": allowed is 1 to 4`},
		"a number":        {"17", "f.json:1:1: record 1: it is 17 and must be an object"},
		"cut off":         {one[:len(one)/2], "record 1: the JSON ends in the middle: it was cut off"},
		"cut off list":    {"[" + minimal, "f.json:1:40: the JSON ends in the middle: it was cut off"},
		"cut off second":  {minimal + "\n" + `{"version":1,"input":{`, "f.json:2:23: record 2: the JSON ends in the middle: it was cut off"},
		"unknown field":   {"{\"version\":1,\n \"input\":{\"spec\":{\"bugdet\":12}},\"decision\":{}}", "f.json:2:19: record 1: unknown field input.spec.bugdet: allowed here are paused, prefill,"},
		"unknown in list": {`{"version":1,"input":{"snapshot":{"prefill":{"replicas":[{"name":"a"},{"gpu":2}]}}},"decision":{}}`, "record 1: unknown field input.snapshot.prefill.replicas[1].gpu: allowed here are name, state"},
		"twice":           {`{"version":1,"input":{"spec":{"budgetGPUs":1,"budgetGPUs":2}},"decision":{}}`, "f.json:1:46: record 1: input.spec.budgetGPUs is there twice"},
		"other case":      {`{"version":1,"input":{"Spec":{}},"decision":{}}`, "unknown field input.Spec"},
		"NaN":             {"{\"version\":1,\n\"input\":{\"spec\":{\"ttft\":{\"ms\": NaN}}},\"decision\":{}}", "f.json:2:32: record 1: NaN is no number in JSON: what is not known is left out"},
		"Infinity":        {`{"version":1,"input":{"spec":{"ttft":{"ms":-Infinity}}},"decision":{}}`, "-Infinity is no number in JSON"},
		"too large":       {`{"version":1,"input":{"spec":{"ttft":{"ms":1e999}}},"decision":{}}`, "input.spec.ttft.ms is 1e999 and must be a number up to 1.7e308"},
		"text for number": {`{"version":1,"input":{"spec":{"ttft":{"ms":"2s"}}},"decision":{}}`, `f.json:1:44: record 1: input.spec.ttft.ms is "2s" and must be a number`},
		"part of a count": {`{"version":1,"input":{"spec":{"prefill":{"min":1.5}}},"decision":{}}`, "input.spec.prefill.min is 1.5 and must be a whole number"},
		"no time":         {`{"version":1,"input":{"now":"yesterday"},"decision":{}}`, `input.now is "yesterday" and must be a time such as`},
		"null":            {`{"version":1,"input":{"spec":null},"decision":{}}`, "input.spec is null and must be an object"},
		"list for object": {`{"version":1,"input":[],"decision":{}}`, "input is a list and must be an object"},
		"object for list": {`{"version":1,"input":{"memory":{"requests":{}}},"decision":{}}`, "input.memory.requests is an object and must be a list"},
		"no comma":        {"[" + minimal + " " + minimal + "]", "f.json:1:41: not JSON: a comma or ] was expected after a record"},
		"after the list":  {"[" + minimal + "] 5", "f.json:1:42: more text follows after the list of records"},
	} {
		t.Run(name, func(t *testing.T) {
			records, err := ReadRecords(strings.NewReader(c.text), "f.json")
			if err == nil {
				t.Fatalf("%d records were read from %s", len(records), c.text)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is\n%s\nand should say\n%s", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is more than one line:\n%s", err)
			}
		})
	}
}

// A record that is cut off anywhere is refused.
func TestReadRecordsRefusesCuts(t *testing.T) {
	one := marshal(t, filled(t))
	for i := 0; i < len(one); i += 7 {
		if _, err := ReadRecords(strings.NewReader(one[:i]), "f.json"); err == nil {
			t.Fatalf("%d of %d bytes were read as a record", i, len(one))
		}
	}
}
