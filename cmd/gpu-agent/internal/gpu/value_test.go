package gpu

import (
	"math"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func double(v float64) Value { return Value{Type: TypeDouble, Double: v, At: epoch} }
func whole(v int64) Value    { return Value{Type: TypeInt64, Int: v, At: epoch} }

func TestWhichValuesAreServed(t *testing.T) {
	status := func(code int) Value { return Value{Type: TypeDouble, Double: 0.5, Status: code, At: epoch} }
	taken := func(before time.Duration) Value { return Value{Type: TypeDouble, Double: 0.5, At: epoch.Add(-before)} }
	share, plain := Field{Share: true}, Field{}
	for name, c := range map[string]struct {
		value Value
		field Field
		want  float64
		why   Why
	}{
		"a share":                {double(0.77), share, 0.77, Good},
		"zero is a value":        {double(0), share, 0, Good},
		"one, by rounding":       {double(1.04), share, 1, Good},
		"over one":               {double(1.06), share, 0, Impossible},
		"over one, of no share":  {double(693), plain, 693, Good},
		"negative":               {double(-0.001), plain, 0, Impossible},
		"not a number":           {double(math.NaN()), plain, 0, Impossible},
		"infinite":               {double(math.Inf(1)), plain, 0, Impossible},
		"a whole number":         {whole(97), plain, 97, Good},
		"negative whole":         {whole(-1), plain, 0, Impossible},
		"the largest energy":     {whole(1 << 60), plain, 1 << 60, Good},
		"blank double":           {double(140737488355328), share, 0, Blank},
		"not found":              {double(140737488355329), share, 0, NotFound},
		"not supported":          {double(140737488355330), share, 0, NotSupported},
		"not permitted":          {double(140737488355331), share, 0, NotPermitted},
		"above all blanks":       {double(1e300), share, 0, NotPermitted},
		"blank whole":            {whole(0x7ffffffffffffff0), plain, 0, Blank},
		"whole, not supported":   {whole(0x7ffffffffffffff2), plain, 0, NotSupported},
		"blank of 32 bits":       {whole(0x7ffffff0), plain, 0, Blank},
		"32 bits, not supported": {whole(0x7ffffff2), plain, 0, NotSupported},
		"32 bits, not permitted": {whole(0x7ffffff3), plain, 0, NotPermitted},
		"before those blanks":    {whole(0x7fffffef), plain, 0x7fffffef, Good},
		"beyond those blanks":    {whole(0x7ffffff4), plain, 0x7ffffff4, Good},
		"the largest whole":      {whole(math.MaxInt64), plain, 0, NotPermitted},
		"a string":               {Value{Type: TypeString, Text: "0.5", At: epoch}, plain, 0, Impossible},
		"no type":                {Value{At: epoch}, plain, 0, Impossible},
		"status not supported":   {status(-6), plain, 0, NotSupported},
		"status no data":         {status(-14), plain, 0, NoData},
		"status stale":           {status(-15), plain, 0, Stale},
		"status not watched":     {status(-16), plain, 0, NotWatched},
		"status not permitted":   {status(-17), plain, 0, NotPermitted},
		"status lost":            {status(-18), plain, 0, Lost},
		"status paused":          {status(-54), plain, 0, Paused},
		"another status":         {status(-3), plain, 0, OtherStatus},
		"as old as may be":       {taken(5 * time.Second), plain, 0.5, Good},
		"too old":                {taken(5*time.Second + 1), plain, 0, Stale},
		"a clock a little ahead": {taken(-2 * time.Second), plain, 0.5, Good},
		"a clock far ahead":      {taken(-time.Minute), plain, 0, FromFuture},
		"never taken":            {Value{Type: TypeDouble, Double: 0.5}, plain, 0, Stale},
	} {
		t.Run(name, func(t *testing.T) {
			if got, why := c.value.Number(c.field, epoch, 5*time.Second); got != c.want || why != c.why {
				t.Errorf("%s gives %v %q, want %v %q", c.value, got, why, c.want, c.why)
			}
		})
	}
}

func TestNamesOfFields(t *testing.T) {
	seen := map[string]bool{}
	for _, set := range []Set{DeviceSet, ProfilingSet} {
		for _, f := range set.Fields() {
			for _, g := range []Generation{NamesBefore46, NamesFrom46} {
				name := f.NameIn(g)
				if name == "" || f.Help == "" || seen[name+string(g)] {
					t.Errorf("field %d is %q (%s) in %s: empty or twice", f.ID, name, f.Help, g)
				}
				seen[name+string(g)] = true
			}
			// What DCGM serves with its profiling: the two sets must not be mixed.
			if isProfiling := f.ID >= 1001 && f.ID <= 1080; isProfiling != (set == ProfilingSet) {
				t.Errorf("field %d is in the set %s", f.ID, set)
			}
		}
	}
	if len(EssentialFields()) != len(Essential) {
		t.Error("an essential field is not in the profiling set")
	}
}
