package des

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// maxBin is beyond every bin that a latency has: 0.1 % steps from 1e-300 to 1e300 ms take fewer to either side. What another
// process wrote is held to it, so that no store grows without end.
const maxBin = 1 << 19

// MarshalBinary writes the latencies so that another process can merge them: how many and their sum, those of 0 ms, and then
// each bin of the sketch as the distance to the bin before and its count. Nothing is lost. (The sketch library has an
// encoding too, but its reader panics on bytes that it did not write.)
func (l Latency) MarshalBinary() ([]byte, error) {
	if l.sketch == nil {
		return nil, errors.New("simulator: latencies that were not made by NewLatency")
	}
	out := binary.BigEndian.AppendUint64(nil, math.Float64bits(l.sum))
	out = binary.AppendUvarint(out, l.count)
	out = binary.AppendUvarint(out, uint64(l.sketch.GetZeroCount()))
	last := 0
	l.sketch.GetPositiveValueStore().ForEach(func(bin int, count float64) bool {
		out = binary.AppendVarint(out, int64(bin-last))
		out = binary.AppendUvarint(out, uint64(count))
		last = bin
		return false
	})
	return out, nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (l *Latency) UnmarshalBinary(data []byte) error {
	read, err := NewLatency()
	if err != nil {
		return err
	}
	if len(data) < 8 {
		return fmt.Errorf("simulator: %d bytes are no latencies", len(data))
	}
	broken := false
	next := func() uint64 {
		v, n := binary.Uvarint(data)
		broken = broken || n <= 0
		data = data[max(n, 0):]
		return v
	}
	read.sum = math.Float64frombits(binary.BigEndian.Uint64(data))
	data = data[8:]
	read.count = next()
	zeros := next()
	if zeros > 0 && !broken {
		_ = read.sketch.AddWithCount(0, float64(zeros))
	}
	bins := read.sketch.GetPositiveValueStore()
	for bin := int64(0); len(data) > 0 && !broken; {
		step, n := binary.Varint(data)
		data = data[max(n, 0):]
		bin += step
		count := next()
		if broken = broken || n <= 0 || step < -maxBin || step > 2*maxBin || bin < -maxBin || bin > maxBin; !broken {
			bins.AddWithCount(int(bin), float64(count))
		}
	}
	if n := read.sketch.GetCount(); broken || n != float64(read.count) || !(read.sum >= 0) || math.IsInf(read.sum, 1) {
		return fmt.Errorf("simulator: latencies of %d requests are broken: %v in bins, %v ms in all", read.count, n, read.sum)
	}
	*l = read
	return nil
}
