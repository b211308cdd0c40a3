package gpu

import (
	"fmt"
	"math"
	"time"
)

// Type is DCGM's letter for the type of a value.
type Type byte

// The types that are read.
const (
	TypeInt64  Type = 'i'
	TypeDouble Type = 'd'
	TypeString Type = 's'
)

// Value is one value of one field of one entity, as DCGM gave it.
type Value struct {
	Entity Entity
	Field  FieldID
	// Status is 0, or one of DCGM's negative codes.
	Status int
	Type   Type
	// At is when DCGM took the value.
	At time.Time
	// Int, Double and Text hold the value of their type.
	Int    int64
	Double float64
	Text   string
}

// DCGM's blanks: these values and the next three above them mean "none", "not
// found", "not supported" and "not permitted". A field whose value was of 32 bits
// before it was widened has the blanks of that type, of which only these four are
// none: a counter of energy or bytes passes beyond them.
const (
	blankInt32  int64   = 0x7ffffff0
	blankInt64  int64   = 0x7ffffffffffffff0
	blankDouble float64 = 1 << 47
)

// Why says in a few words why a value is left out; empty when it is good. The
// words are few and fixed: they are a label.
type Why string

// The causes, each with the code of DCGM or the rule that it stands for.
const (
	Good         Why = ""
	NotSupported Why = "not supported"
	NoData       Why = "no data yet"
	Stale        Why = "stale"
	NotWatched   Why = "not watched"
	NotPermitted Why = "not permitted"
	Lost         Why = "GPU is lost"
	Paused       Why = "paused"
	Blank        Why = "blank"
	NotFound     Why = "not found"
	FromFuture   Why = "from the future"
	Impossible   Why = "impossible value"
	OtherStatus  Why = "refused"
)

var whyOfStatus = map[int]Why{
	-6: NotSupported, -14: NoData, -15: Stale, -16: NotWatched, -17: NotPermitted, -18: Lost, -36: NotSupported, -54: Paused,
}

// whyOfBlank is indexed by how far a value lies above the first blank.
var whyOfBlank = [...]Why{Blank, NotFound, NotSupported, NotPermitted}

// shareRounding is how far over one a share may read: it is a quotient of two
// counters that are not read at the same moment.
const shareRounding = 0.05

// Number returns the value of a field as it may be served at a time, or why it must be left out.
func (v Value) Number(f Field, now time.Time, maxAge time.Duration) (float64, Why) {
	if v.Status != 0 {
		if why, known := whyOfStatus[v.Status]; known {
			return 0, why
		}
		return 0, OtherStatus
	}
	var number float64
	switch v.Type {
	case TypeInt64:
		if v.Int >= blankInt64 {
			return 0, whyOfBlank[min(v.Int-blankInt64, 3)]
		}
		if above := v.Int - blankInt32; above >= 0 && above < int64(len(whyOfBlank)) {
			return 0, whyOfBlank[above]
		}
		number = float64(v.Int)
	case TypeDouble:
		if v.Double >= blankDouble && !math.IsInf(v.Double, 1) {
			return 0, whyOfBlank[int(min(v.Double-blankDouble, 3))]
		}
		number = v.Double
	default:
		return 0, Impossible
	}
	switch age := now.Sub(v.At); {
	case math.IsNaN(number), math.IsInf(number, 1), number < 0, f.Share && number > 1+shareRounding:
		return 0, Impossible
	case age > maxAge:
		return 0, Stale
	case age < -maxAge:
		return 0, FromFuture
	}
	if f.Share {
		number = min(number, 1)
	}
	return number, Good
}

// Age is how old the value is, 0 where its clock is ahead.
func (v Value) Age(now time.Time) time.Duration { return max(0, now.Sub(v.At)) }

func (v Value) String() string {
	return fmt.Sprintf("field %d of %s: status %d, int %d, double %v, at %s", v.Field, v.Entity, v.Status, v.Int, v.Double, v.At.Format(time.RFC3339Nano))
}

// Readings are the values of one device by field.
type Readings map[FieldID]Value

// Sample is what was read of all devices in one round. It is not changed after it was made.
type Sample struct {
	At      time.Time
	Devices []Device
	// Of holds the values of each device; a field that was not read is absent.
	Of map[Entity]Readings
}
