package controller

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"
	"slices"
	"sync"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
)

// ring keeps the last records of one resource. Its owner adds while others read.
//
// Records are packed: with the windows and series that a decision is made from,
// one takes tens of kilobytes, and with hundreds of services they would be most
// of the controller's memory. What comes out replays to the same decision, since
// a record is JSON wherever it goes.
type ring struct {
	mu     sync.Mutex
	packed [][]byte // oldest first
	bytes  int      // of all that is packed
	size   int      // the most records
	share  int      // the most bytes, of which fewestRecords may be more
}

// fewestRecords are kept however large they are.
const fewestRecords = 4

func newRing(size int) *ring { return &ring{size: size, share: recordBytesInAll} }

// add keeps a record, in the place of the oldest where the ring is full. One
// that is no JSON could be shown to nobody, and is not kept.
func (r *ring) add(record planner.Record) {
	data, err := pack(&record)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packed = append(r.packed, data)
	r.bytes += len(data)
	r.trim()
}

// limit changes how many bytes are kept.
func (r *ring) limit(share int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.share = share
	r.trim()
}

func (r *ring) trim() {
	over := max(0, len(r.packed)-r.size)
	for i, data := range r.packed {
		if i >= over && (r.bytes <= r.share || len(r.packed)-i <= fewestRecords) {
			break
		}
		r.bytes -= len(data)
		over = i + 1
	}
	r.packed = slices.Delete(r.packed, 0, over)
}

// last returns up to n records, oldest first.
func (r *ring) last(n int) []planner.Record {
	r.mu.Lock()
	packed := append([][]byte(nil), r.packed[max(0, len(r.packed)-n):]...)
	r.mu.Unlock()
	out := make([]planner.Record, len(packed))
	for i, data := range packed {
		unpack(data, &out[i])
	}
	return out
}

// packer is shared: a compressor takes much more memory than what it makes.
var packer struct {
	mu     sync.Mutex
	writer *flate.Writer
	out    bytes.Buffer
}

func pack(record *planner.Record) ([]byte, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	packer.mu.Lock()
	defer packer.mu.Unlock()
	packer.out.Reset()
	if packer.writer == nil {
		if packer.writer, err = flate.NewWriter(&packer.out, flate.BestSpeed); err != nil {
			return nil, err
		}
	}
	packer.writer.Reset(&packer.out)
	if _, err := packer.writer.Write(text); err != nil {
		return nil, err
	}
	if err := packer.writer.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(packer.out.Bytes()), nil
}

// unpack reads what pack wrote; it cannot fail.
func unpack(data []byte, record *planner.Record) {
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(data)))
	if err == nil {
		err = json.Unmarshal(text, record)
	}
	if err != nil {
		panic("controller: a record that was packed here cannot be unpacked: " + err.Error())
	}
}
