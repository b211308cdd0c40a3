package gpu

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Owner is whom a device is allocated to. Container is empty where several of the pod's hold it.
type Owner struct {
	Namespace, Pod, Container string
}

// PodLoad is how busy the GPUs of one pod are.
type PodLoad struct {
	Namespace, Pod string
	// GPUs is how many devices on this node the pod holds alone.
	GPUs   int
	Tensor Load
	DRAM   Load
}

// Load is one activity over the GPUs of a pod, 0..1.
type Load struct {
	// Measured is how many GPUs have a value; the others are zero when none has.
	Measured int
	Mean     float64
	// Spread is the highest less the lowest: ranks of one tensor-parallel group
	// work in step, so a wide one is a rank that is stuck.
	Spread float64
	// Age is that of the oldest value.
	Age time.Duration
}

// Loads returns the load of each pod, by namespace and name. owner says whom a
// device belongs to; a device that it does not know, or that pods share, counts
// for no pod: whose load it shows cannot be told.
func Loads(s *Sample, owner func(Device) (Owner, bool), now time.Time, maxAge time.Duration) []PodLoad {
	type readings struct{ tensor, dram []Value }
	all := map[Owner]*PodLoad{}
	values := map[Owner]*readings{}
	for _, d := range s.Devices {
		o, known := owner(d)
		if !known {
			continue
		}
		o.Container = ""
		if all[o] == nil {
			all[o], values[o] = &PodLoad{Namespace: o.Namespace, Pod: o.Pod}, &readings{}
		}
		all[o].GPUs++
		if v, ok := s.Of[d.Entity][FieldTensorActive]; ok {
			values[o].tensor = append(values[o].tensor, v)
		}
		if v, ok := s.Of[d.Entity][FieldDRAMActive]; ok {
			values[o].dram = append(values[o].dram, v)
		}
	}
	out := make([]PodLoad, 0, len(all))
	for _, o := range slices.SortedFunc(maps.Keys(all), func(a, b Owner) int {
		return strings.Compare(a.Namespace+"/"+a.Pod, b.Namespace+"/"+b.Pod)
	}) {
		load := all[o]
		load.Tensor = loadOf(values[o].tensor, now, maxAge)
		load.DRAM = loadOf(values[o].dram, now, maxAge)
		out = append(out, *load)
	}
	return out
}

// loadOf summarises the good ones among the values of an activity.
func loadOf(values []Value, now time.Time, maxAge time.Duration) Load {
	var l Load
	var lowest, highest, total float64
	for _, v := range values {
		share, why := v.Number(Field{Share: true}, now, maxAge)
		if why != Good {
			continue
		}
		if l.Measured == 0 {
			lowest, highest = share, share
		}
		l.Measured++
		total += share
		lowest, highest = min(lowest, share), max(highest, share)
		l.Age = max(l.Age, v.Age(now))
	}
	if l.Measured > 0 {
		l.Mean, l.Spread = total/float64(l.Measured), highest-lowest
	}
	return l
}
