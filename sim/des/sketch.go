package des

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// MarshalBinary writes the latencies so that another process can merge them: count and sum, then the sketch in its library's
// own encoding. Nothing is lost.
func (l Latency) MarshalBinary() ([]byte, error) {
	if l.sketch == nil {
		return nil, errors.New("simulator: latencies that were not made by NewLatency")
	}
	out := binary.BigEndian.AppendUint64(nil, l.count)
	out = binary.BigEndian.AppendUint64(out, math.Float64bits(l.sum))
	l.sketch.Encode(&out, true)
	return out, nil
}

// UnmarshalBinary reads what MarshalBinary wrote.
func (l *Latency) UnmarshalBinary(data []byte) (err error) {
	const head = 16
	if len(data) < head {
		return fmt.Errorf("simulator: %d bytes are no latencies", len(data))
	}
	read, err := NewLatency()
	if err != nil {
		return err
	}
	read.count, read.sum = binary.BigEndian.Uint64(data), math.Float64frombits(binary.BigEndian.Uint64(data[8:]))
	if read.sketch, err = ddsketch.DecodeDDSketch(data[head:], boundedStore, read.sketch.IndexMapping); err != nil {
		return fmt.Errorf("simulator: latencies: %w", err)
	}
	if n := read.sketch.GetCount(); n != float64(read.count) || !(read.sum >= 0) {
		return fmt.Errorf("simulator: latencies of %d requests hold %v, of %v ms in all", read.count, n, read.sum)
	}
	*l = read
	return nil
}

// boundedStore makes a store that does not grow without end on bytes that no simulation wrote. 0.1 % steps from a
// nanosecond to a month take 18,000 bins.
func boundedStore() store.Store { return store.NewCollapsingHighestDenseStore(1 << 16) }
